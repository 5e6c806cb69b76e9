# Images with an agent that is installed and not yet prepared: no key, no certificate, no configuration.
# Debian 13, the wheel in /opt/freehold, the units, and what the first boot needs (deploy/cloud-init).
#
#   pip wheel --no-deps --wheel-dir dist .
#   packer init deploy/packer
#   packer build -only 'amazon-ebs.*' -var wheel=dist/freehold-….whl deploy/packer
#
# Run it in the root of the repository. `-only`: amazon-ebs.*, azure-arm.* or googlecompute.*.

packer {
  required_version = ">= 1.9"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3"
    }
    azure = {
      source  = "github.com/hashicorp/azure"
      version = ">= 2.1"
    }
    googlecompute = {
      source  = "github.com/hashicorp/googlecompute"
      version = ">= 1.1"
    }
  }
}

variable "wheel" {
  type        = string
  description = "The wheel, as `pip wheel --no-deps --wheel-dir dist .` makes it."
}

variable "name" {
  type        = string
  description = "Beginning of the image's name; the time follows."
  default     = "freehold-agent"
}

variable "marketplace" {
  type        = bool
  description = "An image for a marketplace: AWS takes none that is encrypted."
  default     = false
}

variable "aws_region" {
  type    = string
  default = "eu-central-1"
}

variable "aws_kms_key" {
  type        = string
  description = "Key of the image, so that other accounts can be given it. Empty: the account's own."
  default     = ""
}

variable "azure_subscription" {
  type    = string
  default = ""
}

variable "azure_resource_group" {
  type    = string
  default = "images"
}

variable "azure_location" {
  type    = string
  default = "germanywestcentral"
}

variable "google_project" {
  type    = string
  default = ""
}

variable "google_zone" {
  type    = string
  default = "europe-west3-a"
}

locals {
  image = "${var.name}-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
}

source "amazon-ebs" "agent" {
  region        = var.aws_region
  instance_type = "t3.small"
  ssh_username  = "admin"
  ami_name      = local.image
  ami_groups    = []
  encrypt_boot  = !var.marketplace
  kms_key_id    = var.marketplace ? "" : var.aws_kms_key
  imds_support  = "v2.0"
  ena_support   = true

  source_ami_filter {
    owners      = ["136693071363"] # Debian
    most_recent = true

    filters = {
      name                = "debian-13-amd64-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tags = {
    Name = local.image
  }
}

source "azure-arm" "agent" {
  use_azure_cli_auth                = true
  subscription_id                   = var.azure_subscription
  location                          = var.azure_location
  vm_size                           = "Standard_B2s"
  os_type                           = "Linux"
  image_publisher                   = "debian"
  image_offer                       = "debian-13"
  image_sku                         = "13-gen2"
  managed_image_name                = local.image
  managed_image_resource_group_name = var.azure_resource_group
  security_type                     = "TrustedLaunch"
  secure_boot_enabled               = true
  vtpm_enabled                      = true
}

source "googlecompute" "agent" {
  project_id              = var.google_project
  zone                    = var.google_zone
  machine_type            = "e2-small"
  source_image_family     = "debian-13"
  source_image_project_id = ["debian-cloud"]
  ssh_username            = "packer"
  image_name              = local.image
  image_family            = var.name
  enable_secure_boot      = true
  enable_vtpm             = true

  enable_integrity_monitoring = true
}

build {
  sources = ["source.amazon-ebs.agent", "source.azure-arm.agent", "source.googlecompute.agent"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/freehold/requirements /tmp/freehold/deploy"]
  }

  provisioner "file" {
    source      = var.wheel
    destination = "/tmp/freehold/"
  }

  provisioner "file" {
    source      = "requirements/base.txt"
    destination = "/tmp/freehold/requirements/"
  }

  provisioner "file" {
    sources     = ["deploy/cloud-init", "deploy/systemd"]
    destination = "/tmp/freehold/deploy/"
  }

  # cloud-init may still hold the package manager.
  provisioner "shell" {
    inline = [
      "sudo cloud-init status --wait",
      "sudo sh /tmp/freehold/deploy/cloud-init/install.sh /tmp/freehold/${basename(var.wheel)}",
      "sudo sh /tmp/freehold/deploy/cloud-init/clean.sh",
    ]
  }

  # Azure's agent forgets the user of the build.
  provisioner "shell" {
    only   = ["azure-arm.agent"]
    inline = ["sudo waagent -force -deprovision+user && sync"]
  }
}
