# An agent on a VM of Azure: no public address, Trusted Launch, encrypted disks that outlive the VM,
# unsealed by a key in Key Vault, backups in a container that keeps them. Whoever applies this needs the
# role Key Vault Crypto Officer, because keys are made in a key vault with RBAC.

data "azurerm_client_config" "current" {}

locals {
  container = "freehold"

  settings = templatefile("${path.module}/../../cloud-init/vault-azure.yaml.tftpl", {
    vault     = trimsuffix(azurerm_key_vault.this.vault_uri, "/")
    key       = azurerm_key_vault_key.root.name
    account   = azurerm_storage_account.backups.name
    container = local.container
    prefix    = "agents/${var.name}"
  })

  user_data = templatefile("${path.module}/../../cloud-init/user-data.yaml.tftpl", {
    settings      = base64encode(local.settings)
    data_device   = "/dev/disk/azure/scsi1/lun10"
    anchor_device = "/dev/disk/azure/scsi1/lun11"
    name          = var.host_name
  })
}

# --- keys: one opens the vault, another encrypts disks. Losing the first loses the vault and its backups.

resource "azurerm_key_vault" "this" {
  #checkov:skip=CKV2_AZURE_32:a service endpoint of the subnet reaches it; a private endpoint needs a DNS zone of yours
  #checkov:skip=CKV_AZURE_189:nobody reaches it but the subnet and the administrators' addresses
  name                          = var.key_vault_name
  resource_group_name           = var.resource_group_name
  location                      = var.location
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "premium"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = true
  tags                          = var.tags

  network_acls {
    default_action             = "Deny"
    bypass                     = "AzureServices"
    virtual_network_subnet_ids = [var.subnet_id]
    ip_rules                   = var.administrator_ips
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_key_vault_key" "root" {
  #checkov:skip=CKV_AZURE_40:a root key with an end would end the vault; it is rotated instead
  #checkov:skip=CKV_AZURE_112:it is one of an HSM, as key_type says
  name         = "root"
  key_vault_id = azurerm_key_vault.this.id
  key_type     = "RSA-HSM"
  key_size     = 3072
  key_opts     = ["wrapKey", "unwrapKey"]
  tags         = var.tags

  rotation_policy {
    automatic {
      time_after_creation = "P90D"
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_key_vault_key" "disk" {
  #checkov:skip=CKV_AZURE_40:a key with an end would end the disks
  #checkov:skip=CKV_AZURE_112:it is one of an HSM, as key_type says
  name         = "disk"
  key_vault_id = azurerm_key_vault.this.id
  key_type     = "RSA-HSM"
  key_size     = 3072
  key_opts     = ["wrapKey", "unwrapKey"]
  tags         = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_disk_encryption_set" "this" {
  name                      = var.name
  resource_group_name       = var.resource_group_name
  location                  = var.location
  key_vault_key_id          = azurerm_key_vault_key.disk.versionless_id
  auto_key_rotation_enabled = true
  encryption_type           = "EncryptionAtRestWithPlatformAndCustomerKeys"
  tags                      = var.tags

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_role_assignment" "disk" {
  scope                = azurerm_key_vault_key.disk.resource_versionless_id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_disk_encryption_set.this.identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

# --- what the agent may do (docs/guides/unseal-with-azure-key-vault.md, docs/guides/backup.md)

resource "azurerm_user_assigned_identity" "agent" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "unseal" {
  scope                = azurerm_key_vault_key.root.resource_versionless_id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.agent.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "backups" {
  scope                = azurerm_storage_container.backups.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.agent.principal_id
  principal_type       = "ServicePrincipal"
}

# --- network: clients in, and nobody else.

resource "azurerm_network_security_group" "agent" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags

  security_rule {
    name                       = "clients"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_port_range          = "*"
    source_address_prefixes    = var.client_cidrs
    destination_port_range     = "8200"
    destination_address_prefix = "*"
  }

  security_rule {
    name                       = "others"
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_port_range          = "*"
    source_address_prefix      = "*"
    destination_port_range     = "*"
    destination_address_prefix = "*"
  }
}

# Without public_ip_address_id: no public address.
resource "azurerm_network_interface" "agent" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags

  ip_configuration {
    name                          = "internal"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_network_interface_security_group_association" "agent" {
  network_interface_id      = azurerm_network_interface.agent.id
  network_security_group_id = azurerm_network_security_group.agent.id
}

# --- disks: of the agent, not of the VM. The anchor is apart, so that a restored snapshot of the data
# does not set it back as well.

resource "azurerm_managed_disk" "data" {
  name                          = "${var.name}-data"
  resource_group_name           = var.resource_group_name
  location                      = var.location
  zone                          = var.zone
  storage_account_type          = "Premium_LRS"
  create_option                 = "Empty"
  disk_size_gb                  = var.data_gib
  disk_encryption_set_id        = azurerm_disk_encryption_set.this.id
  public_network_access_enabled = false
  network_access_policy         = "DenyAll"
  tags                          = var.tags

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [azurerm_role_assignment.disk]
}

resource "azurerm_managed_disk" "anchor" {
  name                          = "${var.name}-anchor"
  resource_group_name           = var.resource_group_name
  location                      = var.location
  zone                          = var.zone
  storage_account_type          = "Premium_LRS"
  create_option                 = "Empty"
  disk_size_gb                  = 4
  disk_encryption_set_id        = azurerm_disk_encryption_set.this.id
  public_network_access_enabled = false
  network_access_policy         = "DenyAll"
  tags                          = var.tags

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [azurerm_role_assignment.disk]
}

resource "azurerm_virtual_machine_data_disk_attachment" "data" {
  managed_disk_id    = azurerm_managed_disk.data.id
  virtual_machine_id = azurerm_linux_virtual_machine.agent.id
  lun                = 10
  caching            = "None"
}

resource "azurerm_virtual_machine_data_disk_attachment" "anchor" {
  managed_disk_id    = azurerm_managed_disk.anchor.id
  virtual_machine_id = azurerm_linux_virtual_machine.agent.id
  lun                = 11
  caching            = "None"
}

resource "azurerm_linux_virtual_machine" "agent" {
  name                            = var.name
  resource_group_name             = var.resource_group_name
  location                        = var.location
  zone                            = var.zone
  size                            = var.vm_size
  disk_controller_type            = "SCSI"
  source_image_id                 = var.image_id
  network_interface_ids           = [azurerm_network_interface.agent.id]
  admin_username                  = "operator"
  disable_password_authentication = true
  allow_extension_operations      = false
  secure_boot_enabled             = true
  vtpm_enabled                    = true
  custom_data                     = base64encode(local.user_data)
  tags                            = var.tags

  admin_ssh_key {
    username   = "operator"
    public_key = var.admin_ssh_key
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.agent.id]
  }

  os_disk {
    caching                = "ReadWrite"
    storage_account_type   = "Premium_LRS"
    disk_encryption_set_id = azurerm_disk_encryption_set.this.id
  }

  depends_on = [azurerm_network_interface_security_group_association.agent, azurerm_role_assignment.disk]
}

# --- backups, which the agent encrypts before they leave it. The container keeps each for `lock_days`.

resource "azurerm_storage_account" "backups" {
  #checkov:skip=CKV_AZURE_33:it has no queues
  #checkov:skip=CKV_AZURE_59:nobody reaches it but the subnet and the administrators' addresses
  #checkov:skip=CKV2_AZURE_1:the agent encrypts backups itself
  #checkov:skip=CKV2_AZURE_33:a service endpoint of the subnet reaches it; a private endpoint needs a DNS zone of yours
  name                              = var.storage_account_name
  resource_group_name               = var.resource_group_name
  location                          = var.location
  account_kind                      = "StorageV2"
  account_tier                      = "Standard"
  account_replication_type          = "GZRS"
  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  infrastructure_encryption_enabled = true
  tags                              = var.tags

  network_rules {
    default_action             = "Deny"
    bypass                     = ["AzureServices"]
    virtual_network_subnet_ids = [var.subnet_id]
    ip_rules                   = var.administrator_ips
  }

  sas_policy {
    expiration_period = "00.01:00:00"
    expiration_action = "Block"
  }

  blob_properties {
    delete_retention_policy {
      days = 14
    }

    container_delete_retention_policy {
      days = 14
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_storage_container" "backups" {
  #checkov:skip=CKV2_AZURE_21:whoever wants read logs has a workspace for them
  name                  = local.container
  storage_account_id    = azurerm_storage_account.backups.id
  container_access_type = "private"

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_storage_container_immutability_policy" "backups" {
  storage_container_resource_manager_id = azurerm_storage_container.backups.id
  immutability_period_in_days           = var.lock_days
  locked                                = var.lock_retention
}
