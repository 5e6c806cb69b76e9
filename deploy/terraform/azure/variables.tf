variable "name" {
  description = "Name of the agent; also the prefix of what is made for it, and of its key vault."
  type        = string
  default     = "freehold"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}$", var.name))
    error_message = "Use 3 to 20 lower-case letters, digits and hyphens."
  }
}

variable "key_vault_name" {
  description = "Name of the key vault: 3 to 24 letters, digits and hyphens, unique in all of Azure."
  type        = string
}

variable "resource_group_name" {
  description = "Resource group of everything that is made."
  type        = string
}

variable "location" {
  description = "Region."
  type        = string
  default     = "germanywestcentral"
}

variable "zone" {
  description = "Availability zone of the VM and its disks."
  type        = string
  default     = "1"
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
  description = "Image made by deploy/packer."
  type        = string
}

variable "subnet_id" {
  description = "Private subnet with the service endpoints Microsoft.KeyVault and Microsoft.Storage."
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

variable "administrator_ips" {
  description = "Addresses from which Terraform reaches key vault and storage account, to make keys and the container."
  type        = list(string)
}

variable "admin_ssh_key" {
  description = "Public SSH key of the person who logs in; Azure makes no machine without one."
  type        = string
}

variable "vm_size" {
  description = "Size of the VM: one whose disks are SCSI."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "data_gib" {
  description = "Size of the disk of database and audit log, in GiB."
  type        = number
  default     = 64
}

variable "storage_account_name" {
  description = "Name of the storage account of the backups: 3 to 24 lower-case letters and digits, unique in all of Azure."
  type        = string
}

variable "lock_days" {
  description = "Days in which a backup cannot be deleted."
  type        = number
  default     = 30
}

variable "lock_retention" {
  description = "Lock that time for good: nobody can shorten it. There is no way back."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
