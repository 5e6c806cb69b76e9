# An agent on a VM of Google Cloud: no external address, Shielded VM, encrypted disks that outlive the
# instance, unsealed by a key in Cloud KMS, backups in a bucket that keeps them.

data "google_project" "this" {
  project_id = var.project
}

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))

  settings = templatefile("${path.module}/../../cloud-init/vault-gcp.yaml.tftpl", {
    key    = google_kms_crypto_key.root.id
    bucket = google_storage_bucket.backups.name
    prefix = "agents/${var.name}"
  })

  user_data = templatefile("${path.module}/../../cloud-init/user-data.yaml.tftpl", {
    settings      = base64encode(local.settings)
    data_device   = "/dev/disk/by-id/google-freehold-data"
    anchor_device = "/dev/disk/by-id/google-freehold-anchor"
    name          = var.host_name
  })
}

# --- keys: one opens the vault, another encrypts disks. Losing the first loses the vault and its backups.

resource "google_kms_key_ring" "this" {
  name     = var.name
  project  = var.project
  location = local.region
}

resource "google_kms_crypto_key" "root" {
  name                       = "root"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = "HSM"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key" "disk" {
  name                       = "disk"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"

  lifecycle {
    prevent_destroy = true
  }
}

# --- what the agent may do (docs/guides/unseal-with-google-cloud-kms.md, docs/guides/backup.md)

resource "google_service_account" "agent" {
  account_id   = var.name
  project      = var.project
  display_name = "Freehold agent ${var.name}"
}

resource "google_project_iam_custom_role" "unseal" {
  role_id = "freeholdUnseal_${replace(var.name, "-", "_")}"
  project = var.project
  title   = "Freehold unseal ${var.name}"
  permissions = [
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeyVersions.useToEncrypt",
    "cloudkms.cryptoKeyVersions.useToDecrypt",
  ]
}

resource "google_kms_crypto_key_iam_member" "unseal" {
  crypto_key_id = google_kms_crypto_key.root.id
  role          = google_project_iam_custom_role.unseal.id
  member        = "serviceAccount:${google_service_account.agent.email}"
}

resource "google_kms_crypto_key_iam_member" "disk" {
  crypto_key_id = google_kms_crypto_key.disk.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com"
}

resource "google_storage_bucket_iam_member" "backups" {
  bucket = google_storage_bucket.backups.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.agent.email}"
}

# --- network

resource "google_compute_firewall" "clients" {
  name                    = "${var.name}-clients"
  project                 = var.project
  network                 = var.network
  direction               = "INGRESS"
  source_ranges           = var.client_cidrs
  target_service_accounts = [google_service_account.agent.email]

  allow {
    protocol = "tcp"
    ports    = ["8200"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# --- disks: of the agent, not of the instance. The anchor is apart, so that a restored snapshot of the
# data does not set it back as well.

resource "google_compute_disk" "data" {
  name    = "${var.name}-data"
  project = var.project
  zone    = var.zone
  type    = "pd-ssd"
  size    = var.data_gib

  disk_encryption_key {
    kms_key_self_link = google_kms_crypto_key.disk.id
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_kms_crypto_key_iam_member.disk]
}

resource "google_compute_disk" "anchor" {
  name    = "${var.name}-anchor"
  project = var.project
  zone    = var.zone
  type    = "pd-ssd"
  size    = 10

  disk_encryption_key {
    kms_key_self_link = google_kms_crypto_key.disk.id
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_kms_crypto_key_iam_member.disk]
}

resource "google_compute_instance" "agent" {
  name                      = var.name
  project                   = var.project
  zone                      = var.zone
  machine_type              = var.machine_type
  allow_stopping_for_update = true

  boot_disk {
    kms_key_self_link = google_kms_crypto_key.disk.id

    initialize_params {
      image = var.image
      type  = "pd-ssd"
    }
  }

  attached_disk {
    source            = google_compute_disk.data.id
    device_name       = "freehold-data"
    kms_key_self_link = google_kms_crypto_key.disk.id
  }

  attached_disk {
    source            = google_compute_disk.anchor.id
    device_name       = "freehold-anchor"
    kms_key_self_link = google_kms_crypto_key.disk.id
  }

  # Without access_config: no external address.
  network_interface {
    subnetwork = var.subnetwork
  }

  service_account {
    email = google_service_account.agent.email
    scopes = [
      "https://www.googleapis.com/auth/cloudkms",
      "https://www.googleapis.com/auth/devstorage.read_write",
    ]
  }

  metadata = {
    user-data              = local.user_data
    block-project-ssh-keys = "true"
    enable-oslogin         = "TRUE"
    serial-port-enable     = "false"
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }
}

# --- backups, which the agent encrypts before they leave it. The bucket keeps each for `lock_days`.

resource "google_storage_bucket" "backups" {
  #checkov:skip=CKV_GCP_62:whoever wants access logs has a bucket for them; Cloud Audit Logs have data access
  #checkov:skip=CKV_GCP_78:the retention policy keeps every object; versions would add nothing
  name                        = var.backup_bucket
  project                     = var.project
  location                    = local.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  retention_policy {
    retention_period = var.lock_days * 86400
    is_locked        = var.lock_retention
  }

  lifecycle {
    prevent_destroy = true
  }
}
