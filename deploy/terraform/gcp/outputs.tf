output "address" {
  description = "Internal address of the agent: let the host name lead here."
  value       = google_compute_instance.agent.network_interface[0].network_ip
}

output "key" {
  description = "The key that unseals the vault."
  value       = google_kms_crypto_key.root.id
}

output "backup_bucket" {
  description = "The bucket of the backups."
  value       = google_storage_bucket.backups.name
}
