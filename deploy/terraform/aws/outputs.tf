output "address" {
  description = "Private address of the agent: let the host name lead here."
  value       = aws_instance.agent.private_ip
}

output "key_arn" {
  description = "The key that unseals the vault."
  value       = aws_kms_key.root.arn
}

output "backup_bucket" {
  description = "The bucket of the backups."
  value       = aws_s3_bucket.backups.id
}

output "data_volume_id" {
  description = "The disk of database and audit log."
  value       = aws_ebs_volume.data.id
}
