variable "name" {
  description = "Name of the agent; also the prefix of what is made for it."
  type        = string
  default     = "freehold"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,23}$", var.name))
    error_message = "Use 5 to 24 lower-case letters, digits and hyphens: it names a service account."
  }
}

variable "project" {
  description = "The project's id."
  type        = string
}

variable "zone" {
  description = "Zone of the VM and its disks."
  type        = string
  default     = "europe-west3-a"
}

variable "host_name" {
  description = "DNS name by which clients call the agent: its certificate is for it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$", var.host_name))
    error_message = "Give a DNS name."
  }
}

variable "image" {
  description = "Image made by deploy/packer."
  type        = string
}

variable "network" {
  description = "The VPC network of the subnetwork."
  type        = string
}

variable "subnetwork" {
  description = "Subnetwork with Private Google Access, by which KMS and the bucket are reached."
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

variable "machine_type" {
  description = "Type of the VM."
  type        = string
  default     = "n2-standard-2"
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
  description = "Days in which a backup cannot be deleted."
  type        = number
  default     = 30
}

variable "lock_retention" {
  description = "Lock that time for good: nobody can shorten it, and the bucket stays as long. There is no way back."
  type        = bool
  default     = false
}
