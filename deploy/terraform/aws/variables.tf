variable "name" {
  description = "Name of the agent; also the prefix of what is made for it."
  type        = string
  default     = "freehold"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "Use 2 to 31 lower-case letters, digits and hyphens."
  }
}

variable "host_name" {
  description = "DNS name by which clients call the agent: its certificate is for it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$", var.host_name))
    error_message = "Give a DNS name."
  }
}

variable "image_id" {
  description = "AMI made by deploy/packer."
  type        = string
}

variable "subnet_id" {
  description = "Private subnet that reaches KMS and S3, by a NAT gateway or by endpoints."
  type        = string
}

variable "client_cidrs" {
  description = "Networks whose machines may call the agent."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && !contains(var.client_cidrs, "0.0.0.0/0")
    error_message = "Name the networks of the clients, not the whole internet."
  }
}

variable "egress_ports" {
  description = "Ports that the agent calls others on: 443 is KMS and S3; a control plane has 8301, databases have theirs."
  type        = list(number)
  default     = [443]
}

variable "instance_type" {
  description = "A type of the Nitro system, whose disks are NVMe."
  type        = string
  default     = "m7i.large"
}

variable "data_gib" {
  description = "Size of the disk of database and audit log, in GiB."
  type        = number
  default     = 50
}

variable "backup_bucket" {
  description = "Name of the bucket of the backups, which is made here."
  type        = string
}

variable "lock_days" {
  description = "Days in which nobody at all can delete a backup. It cannot be shortened afterwards."
  type        = number
  default     = 30

  validation {
    condition     = var.lock_days >= 1 && var.lock_days <= 3650
    error_message = "Give 1 to 3650 days."
  }
}

variable "key_administrators" {
  description = "ARNs of the roles or users that alone may disable or delete the keys. Empty: whoever has the right in IAM."
  type        = list(string)
  default     = []
}

variable "ssh_key_name" {
  description = "Key pair for logging in. Null: none; the image has the agents that it was built with."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
