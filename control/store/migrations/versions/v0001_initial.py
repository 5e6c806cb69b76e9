"""The first schema, as it was: later steps change it, this file does not follow `tables`."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import (
    JsonColumn,
    boolean_column,
    bytes_column,
    float_column,
    integer_column,
    name_column,
    optional_bytes_column,
    optional_integer_column,
    prose_column,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _organizations()
    _users()
    _login_failures()
    _tokens()
    _agents()
    _agent_tags()
    _policies()
    _policy_versions()
    _rollouts()
    _assignments()
    _series()
    _samples()
    _alerts()
    _audit()
    _witnessed()
    _ca_tokens()
    _ca_agents()
    _ca_certificates()
    _ca_joins()


def _organizations() -> None:
    op.create_table(
        "organizations",
        name_column("id", key=True),
        prose_column("title"),
        integer_column("created_at"),
    )


def _users() -> None:
    op.create_table(
        "users",
        name_column("org", key=True),
        name_column("name", key=True),
        name_column("role"),
        prose_column("password"),
        boolean_column("disabled"),
        integer_column("created_at"),
        integer_column("changed_at"),
        integer_column("last_login"),
    )


def _login_failures() -> None:
    op.create_table(
        "login_failures",
        name_column("org", key=True),
        name_column("name", key=True),
        integer_column("count"),
        integer_column("last_at"),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        bytes_column("digest", key=True),
        name_column("id"),
        name_column("org"),
        name_column("user"),
        name_column("kind"),
        prose_column("label"),
        name_column("role"),
        integer_column("created_at"),
        integer_column("expires_at"),
        sa.UniqueConstraint("org", "id", name="uq_tokens_id"),
    )
    op.create_index("ix_tokens_user", "tokens", ["org", "user"])


def _agents() -> None:
    op.create_table(
        "agents",
        name_column("org", key=True),
        name_column("vault", key=True),
        name_column("life"),
        prose_column("reason"),
        JsonColumn.column("tags"),
        name_column("presence"),
        integer_column("last_seen"),
        JsonColumn.column("facts"),
        integer_column("created_at"),
        integer_column("changed_at"),
    )


def _agent_tags() -> None:
    op.create_table(
        "agent_tags",
        name_column("org", key=True),
        name_column("tag", key=True),
        name_column("vault", key=True),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        name_column("org", key=True),
        name_column("name", key=True),
        integer_column("head"),
        integer_column("stable"),
        JsonColumn.column("targets"),
        integer_column("created_at"),
        integer_column("changed_at"),
    )


def _policy_versions() -> None:
    op.create_table(
        "policy_versions",
        name_column("org", key=True),
        name_column("name", key=True),
        integer_column("version", key=True),
        JsonColumn.column("document"),
        prose_column("comment"),
        name_column("created_by"),
        integer_column("created_at"),
    )


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("policy"),
        integer_column("version"),
        integer_column("previous"),
        JsonColumn.column("plan"),
        integer_column("step"),
        name_column("state"),
        prose_column("reason"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("changed_at"),
    )
    op.create_index("ix_rollouts_policy", "rollouts", ["org", "policy", "created_at"])
    op.create_index("ix_rollouts_state", "rollouts", ["state"])


def _assignments() -> None:
    op.create_table(
        "assignments",
        name_column("org", key=True),
        name_column("vault", key=True),
        integer_column("version"),
        JsonColumn.column("contents"),
        bytes_column("digest"),
        bytes_column("bundle"),
        name_column("outcome"),
        prose_column("reason"),
        integer_column("applied"),
        integer_column("changed_at"),
    )


def _series() -> None:
    op.create_table(
        "series",
        integer_column("id", key=True),
        name_column("org"),
        name_column("vault"),
        name_column("name"),
        sa.UniqueConstraint("org", "vault", "name", name="uq_series"),
    )


def _samples() -> None:
    op.create_table(
        "samples",
        integer_column("series", key=True),
        integer_column("resolution", key=True),
        integer_column("at", key=True),
        integer_column("count"),
        float_column("total"),
        float_column("low"),
        float_column("high"),
        float_column("last"),
    )
    op.create_index("ix_samples_age", "samples", ["resolution", "at"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("vault"),
        name_column("code"),
        name_column("severity"),
        prose_column("message"),
        integer_column("at"),
        name_column("acknowledged_by"),
        integer_column("acknowledged_at"),
    )
    op.create_index("ix_alerts_at", "alerts", ["org", "at"])


def _audit() -> None:
    op.create_table(
        "audit",
        name_column("org", key=True),
        integer_column("seq", key=True),
        integer_column("at"),
        name_column("request_id"),
        name_column("actor"),
        name_column("token"),
        name_column("ip"),
        name_column("operation"),
        prose_column("target"),
        name_column("phase"),
        name_column("result"),
        name_column("code"),
        JsonColumn.column("detail"),
        bytes_column("previous"),
        bytes_column("hash"),
    )


def _witnessed() -> None:
    op.create_table(
        "witnessed",
        name_column("org", key=True),
        name_column("vault", key=True),
        integer_column("size"),
        bytes_column("root"),
        prose_column("note"),
        integer_column("at"),
        name_column("fault"),
    )


def _ca_tokens() -> None:
    op.create_table(
        "ca_tokens",
        name_column("id", key=True),
        bytes_column("hash"),
        name_column("org"),
        name_column("vault"),
        boolean_column("replace"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("expires_at"),
        optional_integer_column("used_at"),
        optional_bytes_column("used_by"),
        sa.UniqueConstraint("hash", name="uq_ca_tokens_hash"),
    )
    op.create_index("ix_ca_tokens_org", "ca_tokens", ["org", "created_at"])


def _ca_agents() -> None:
    op.create_table(
        "ca_agents",
        name_column("org", key=True),
        name_column("vault", key=True),
        name_column("state"),
        integer_column("generation"),
        integer_column("confirmed"),
        bytes_column("link_key"),
        integer_column("enrolled_at"),
        integer_column("changed_at"),
        prose_column("reason"),
    )


def _ca_certificates() -> None:
    op.create_table(
        "ca_certificates",
        name_column("serial", key=True),
        bytes_column("key"),
        name_column("org"),
        name_column("vault"),
        integer_column("generation"),
        bytes_column("der"),
        name_column("issuer"),
        integer_column("not_before"),
        integer_column("not_after"),
        optional_integer_column("revoked_at"),
        sa.UniqueConstraint("key", name="uq_ca_certificates_key"),
    )
    op.create_index("ix_ca_certificates_agent", "ca_certificates", ["org", "vault", "generation"])
    op.create_index("ix_ca_certificates_end", "ca_certificates", ["not_after"])


def _ca_joins() -> None:
    op.create_table(
        "ca_joins",
        name_column("id", key=True),
        bytes_column("key"),
        bytes_column("link_key"),
        name_column("org"),
        prose_column("label"),
        name_column("source"),
        integer_column("requested_at"),
        integer_column("expires_at"),
        name_column("state"),
        name_column("given_org"),
        name_column("given_vault"),
        boolean_column("replace"),
        name_column("decided_by"),
        optional_integer_column("decided_at"),
        sa.UniqueConstraint("key", name="uq_ca_joins_key"),
    )
    op.create_index("ix_ca_joins_requested", "ca_joins", ["requested_at"])
    op.create_index("ix_ca_joins_state", "ca_joins", ["state", "requested_at"])
