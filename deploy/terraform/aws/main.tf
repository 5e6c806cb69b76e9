# An agent on a VM of AWS: no public address, IMDSv2 alone, encrypted disks that outlive the instance,
# unsealed by a key in KMS, backups in a bucket with object lock.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

data "aws_subnet" "this" {
  id = var.subnet_id
}

locals {
  tags   = merge({ Name = var.name }, var.tags)
  prefix = "agents/${var.name}"

  settings = templatefile("${path.module}/../../cloud-init/vault-aws.yaml.tftpl", {
    key       = aws_kms_key.root.arn
    region    = data.aws_region.current.name
    bucket    = aws_s3_bucket.backups.id
    prefix    = local.prefix
    lock_days = var.lock_days
  })

  # Nitro shows a volume by its id, whatever it was attached as.
  nvme = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
  user_data = templatefile("${path.module}/../../cloud-init/user-data.yaml.tftpl", {
    settings      = base64encode(local.settings)
    data_device   = "${local.nvme}${replace(aws_ebs_volume.data.id, "-", "")}"
    anchor_device = "${local.nvme}${replace(aws_ebs_volume.anchor.id, "-", "")}"
    name          = var.host_name
  })
}

# --- keys: one opens the vault, another encrypts disks. Losing the first loses the vault and its backups.

data "aws_iam_policy_document" "keys" {
  #checkov:skip=CKV_AWS_109:of a key's policy, in which the resource is the key itself
  #checkov:skip=CKV_AWS_111:the same
  #checkov:skip=CKV_AWS_356:the same
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }

  dynamic "statement" {
    for_each = length(var.key_administrators) > 0 ? [1] : []

    content {
      sid       = "Deletion"
      effect    = "Deny"
      actions   = ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:PutKeyPolicy"]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = ["*"]
      }

      condition {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = var.key_administrators
      }
    }
  }
}

resource "aws_kms_key" "root" {
  description             = "Freehold root key of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.keys.json
  tags                    = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "root" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.root.key_id
}

resource "aws_kms_key" "disk" {
  description             = "Disks of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.keys.json
  tags                    = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

# --- what the agent may do (docs/guides/unseal-with-aws-kms.md, docs/guides/backup.md)

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "agent" {
  statement {
    sid       = "Unseal"
    actions   = ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"]
    resources = [aws_kms_key.root.arn]

    condition {
      test     = "StringEqualsIfExists"
      variable = "kms:EncryptionAlgorithm"
      values   = ["SYMMETRIC_DEFAULT"]
    }
  }

  statement {
    sid       = "ListBackups"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.backups.arn]
  }

  statement {
    sid       = "Backups"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:PutObjectRetention", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.backups.arn}/${local.prefix}/*"]
  }
}

resource "aws_iam_role" "agent" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "agent" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.agent.id
  policy      = data.aws_iam_policy_document.agent.json
}

resource "aws_iam_instance_profile" "agent" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.agent.name
  tags        = local.tags
}

# --- network: clients in, KMS and S3 out. DNS, time and credentials come by link-local addresses.

resource "aws_security_group" "agent" {
  name_prefix = "${var.name}-"
  description = "Freehold agent ${var.name}"
  vpc_id      = data.aws_subnet.this.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.agent.id
  description       = "Clients"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 8200
  to_port           = 8200
}

resource "aws_vpc_security_group_egress_rule" "services" {
  for_each = toset([for port in var.egress_ports : tostring(port)])

  security_group_id = aws_security_group.agent.id
  description       = "Services that the agent calls"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
}

# --- disks: of the agent, not of the instance. The anchor is apart, so that a restored snapshot of the
# data does not set it back as well.

resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_subnet.this.availability_zone
  size              = var.data_gib
  type              = "gp3"
  encrypted         = true
  kms_key_id        = aws_kms_key.disk.arn
  final_snapshot    = true
  tags              = merge(local.tags, { Name = "${var.name}-data" })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_ebs_volume" "anchor" {
  availability_zone = data.aws_subnet.this.availability_zone
  size              = 1
  type              = "gp3"
  encrypted         = true
  kms_key_id        = aws_kms_key.disk.arn
  tags              = merge(local.tags, { Name = "${var.name}-anchor" })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.data.id
  instance_id                    = aws_instance.agent.id
  stop_instance_before_detaching = true
}

resource "aws_volume_attachment" "anchor" {
  device_name                    = "/dev/sdg"
  volume_id                      = aws_ebs_volume.anchor.id
  instance_id                    = aws_instance.agent.id
  stop_instance_before_detaching = true
}

resource "aws_instance" "agent" {
  ami                         = var.image_id
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = false
  vpc_security_group_ids      = [aws_security_group.agent.id]
  iam_instance_profile        = aws_iam_instance_profile.agent.name
  key_name                    = var.ssh_key_name
  ebs_optimized               = true
  monitoring                  = true
  user_data                   = local.user_data
  user_data_replace_on_change = true
  tags                        = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted             = true
    kms_key_id            = aws_kms_key.disk.arn
    volume_type           = "gp3"
    delete_on_termination = true
  }
}

# --- backups. The agent locks each object (COMPLIANCE) for `lock_days`; they are encrypted before they
# leave it.

resource "aws_s3_bucket" "backups" {
  #checkov:skip=CKV_AWS_18:whoever wants access logs has a bucket for them; CloudTrail has data events
  #checkov:skip=CKV_AWS_144:replication needs a second region: add it where you have one
  #checkov:skip=CKV_AWS_145:the agent encrypts backups itself; a key in KMS would be one more right
  #checkov:skip=CKV2_AWS_62:nobody waits for events of this bucket
  bucket              = var.backup_bucket
  object_lock_enabled = true
  tags                = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "backups" {
  bucket = aws_s3_bucket.backups.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "backups" {
  bucket = aws_s3_bucket.backups.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "backups" {
  bucket                  = aws_s3_bucket.backups.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "backups" {
  bucket = aws_s3_bucket.backups.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "backups" {
  bucket = aws_s3_bucket.backups.id

  rule {
    id     = "removed"
    status = "Enabled"
    filter {}

    # What the agent has removed by its retention; what is locked stays until its time.
    noncurrent_version_expiration {
      noncurrent_days = var.lock_days
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

data "aws_iam_policy_document" "backups" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.backups.arn, "${aws_s3_bucket.backups.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "backups" {
  bucket = aws_s3_bucket.backups.id
  policy = data.aws_iam_policy_document.backups.json
}
