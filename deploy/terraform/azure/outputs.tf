output "address" {
  description = "Private address of the agent: let the host name lead here."
  value       = azurerm_network_interface.agent.private_ip_address
}

output "key_id" {
  description = "The key that unseals the vault."
  value       = azurerm_key_vault_key.root.resource_versionless_id
}

output "backup_container" {
  description = "The container of the backups."
  value       = azurerm_storage_container.backups.id
}
