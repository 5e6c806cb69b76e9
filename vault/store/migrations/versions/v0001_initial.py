"""The first schema."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _system()
    _mounts()
    _secrets()
    _secret_versions()
    _secret_access()
    _users()
    _roles()
    _api_keys()
    _tokens()
    _policies()
    _credential_usage()
    _audit_events()


def _system() -> None:
    op.create_table(
        "system",
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("value", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_system"),
    )


def _mounts() -> None:
    op.create_table(
        "mounts",
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("accessor", columns.name_type(), nullable=False),
        sa.Column("type", columns.name_type(), nullable=False),
        sa.Column("version", columns.integer_type(), nullable=False),
        sa.Column("description", columns.text_type(), nullable=False),
        sa.Column("max_versions", columns.integer_type(), nullable=False),
        sa.Column("cas_required", columns.boolean_type(), nullable=False),
        sa.Column("delete_version_after", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_mounts"),
    )


def _secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("current_version", columns.integer_type(), nullable=False),
        sa.Column("oldest_version", columns.integer_type(), nullable=False),
        sa.Column("max_versions", columns.integer_type(), nullable=False),
        sa.Column("cas_required", columns.boolean_type(), nullable=False),
        sa.Column("delete_version_after", columns.integer_type(), nullable=False),
        sa.Column("metadata", columns.json_type(), nullable=False),
        sa.Column("tags", columns.json_type(), nullable=False),
        sa.Column("status", columns.name_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("created_by", columns.name_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("rotation_due", columns.integer_type(), nullable=False),
        sa.Column("rotation_policy", columns.json_type(), nullable=True),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
        sa.UniqueConstraint("id", name="uq_secrets_id"),
    )
    op.create_index("ix_secrets_expires_at", "secrets", ["expires_at"])
    op.create_index("ix_secrets_rotation_due", "secrets", ["rotation_due"])


def _secret_versions() -> None:
    op.create_table(
        "secret_versions",
        sa.Column("secret_id", columns.name_type(), nullable=False),
        sa.Column("version", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("wrapped_dek", columns.blob_type(), nullable=False),
        sa.Column("box", columns.blob_type(), nullable=False),
        sa.Column("kek_generation", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("created_by", columns.name_type(), nullable=False),
        sa.Column("deletion_time", columns.integer_type(), nullable=False),
        sa.Column("destroyed", columns.boolean_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("secret_id", "version", name="pk_secret_versions"),
        sa.ForeignKeyConstraint(
            ["secret_id"], ["secrets.id"], name="fk_secret_versions_secret_id", ondelete="RESTRICT"
        ),
    )


def _secret_access() -> None:
    op.create_table(
        "secret_access",
        sa.Column("secret_id", columns.name_type(), nullable=False),
        sa.Column("value_reads", columns.integer_type(), nullable=False),
        sa.Column("metadata_reads", columns.integer_type(), nullable=False),
        sa.Column("last_value_read", columns.integer_type(), nullable=False),
        sa.Column("last_metadata_read", columns.integer_type(), nullable=False),
        sa.PrimaryKeyConstraint("secret_id", name="pk_secret_access"),
    )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("username", columns.name_type(), nullable=False),
        sa.Column("name_key", columns.name_type(), nullable=False),
        sa.Column("email", columns.name_type(), nullable=False),
        sa.Column("roles", columns.json_type(), nullable=False),
        sa.Column("policies", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("last_login", columns.integer_type(), nullable=False),
        sa.Column("status", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
    )


def _roles() -> None:
    op.create_table(
        "roles",
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("description", columns.text_type(), nullable=False),
        sa.Column("policies", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_roles"),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("user_id", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("key_hash", columns.blob_type(), nullable=False),
        sa.Column("permissions", columns.json_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("created_by", columns.name_type(), nullable=False),
        sa.Column("status", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_api_keys_user_id", ondelete="RESTRICT"
        ),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("accessor", columns.name_type(), nullable=False),
        sa.Column("secret_hash", columns.blob_type(), nullable=False),
        sa.Column("parent", columns.name_type(), nullable=False),
        sa.Column("display_name", columns.name_type(), nullable=False),
        sa.Column("user_id", columns.name_type(), nullable=False),
        sa.Column("policies", columns.json_type(), nullable=False),
        sa.Column("meta", columns.json_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("issued_at", columns.integer_type(), nullable=False),
        sa.Column("ttl", columns.integer_type(), nullable=False),
        sa.Column("period", columns.integer_type(), nullable=False),
        sa.Column("explicit_max_ttl", columns.integer_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("renewable", columns.boolean_type(), nullable=False),
        sa.Column("num_uses", columns.integer_type(), nullable=False),
        sa.Column("uses_left", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("accessor", name="uq_tokens_accessor"),
    )
    op.create_index("ix_tokens_parent", "tokens", ["parent"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("version", columns.integer_type(), nullable=False),
        sa.Column("document", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("created_by", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_policies"),
    )


def _credential_usage() -> None:
    op.create_table(
        "credential_usage",
        sa.Column("credential_id", columns.name_type(), nullable=False),
        sa.Column("last_used", columns.integer_type(), nullable=False),
        sa.Column("uses", columns.integer_type(), nullable=False),
        sa.PrimaryKeyConstraint("credential_id", name="pk_credential_usage"),
    )


def _audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("log", columns.name_type(), nullable=False),
        sa.Column("seq", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("time", columns.integer_type(), nullable=False),
        sa.Column("request_id", columns.name_type(), nullable=False),
        sa.Column("phase", columns.name_type(), nullable=False),
        sa.Column("operation", columns.name_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("capability", columns.name_type(), nullable=False),
        sa.Column("actor_id", columns.name_type(), nullable=False),
        sa.Column("actor_name", columns.name_type(), nullable=False),
        sa.Column("method", columns.name_type(), nullable=False),
        sa.Column("credential", columns.name_type(), nullable=False),
        sa.Column("ip", columns.name_type(), nullable=False),
        sa.Column("user_agent", columns.name_type(), nullable=False),
        sa.Column("dialect", columns.name_type(), nullable=False),
        sa.Column("result", columns.name_type(), nullable=False),
        sa.Column("code", columns.name_type(), nullable=False),
        sa.Column("rule", columns.name_type(), nullable=False),
        sa.PrimaryKeyConstraint("log", "seq", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_actor_id", "audit_events", ["actor_id"])
    op.create_index("ix_audit_events_request_id", "audit_events", ["request_id"])
