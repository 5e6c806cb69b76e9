"""The first schema, as it was: later steps change it, this file does not follow `tables`."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, blob, flag, maybe_big, maybe_blob, name, number, prose

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
        name("id", key=True),
        prose("title"),
        big("created_at"),
    )


def _users() -> None:
    op.create_table(
        "users",
        name("org", key=True),
        name("name", key=True),
        name("role"),
        prose("password"),
        flag("disabled"),
        big("created_at"),
        big("changed_at"),
        big("last_login"),
    )


def _login_failures() -> None:
    op.create_table(
        "login_failures",
        name("org", key=True),
        name("name", key=True),
        big("count"),
        big("last_at"),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        blob("digest", key=True),
        name("id"),
        name("org"),
        name("user"),
        name("kind"),
        prose("label"),
        name("role"),
        big("created_at"),
        big("expires_at"),
        sa.UniqueConstraint("org", "id", name="uq_tokens_id"),
    )
    op.create_index("ix_tokens_user", "tokens", ["org", "user"])


def _agents() -> None:
    op.create_table(
        "agents",
        name("org", key=True),
        name("vault", key=True),
        name("life"),
        prose("reason"),
        Json.column("tags"),
        name("presence"),
        big("last_seen"),
        Json.column("facts"),
        big("created_at"),
        big("changed_at"),
    )


def _agent_tags() -> None:
    op.create_table(
        "agent_tags",
        name("org", key=True),
        name("tag", key=True),
        name("vault", key=True),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        name("org", key=True),
        name("name", key=True),
        big("head"),
        big("stable"),
        Json.column("targets"),
        big("created_at"),
        big("changed_at"),
    )


def _policy_versions() -> None:
    op.create_table(
        "policy_versions",
        name("org", key=True),
        name("name", key=True),
        big("version", key=True),
        Json.column("document"),
        prose("comment"),
        name("created_by"),
        big("created_at"),
    )


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        name("org", key=True),
        name("id", key=True),
        name("policy"),
        big("version"),
        big("previous"),
        Json.column("plan"),
        big("step"),
        name("state"),
        prose("reason"),
        name("created_by"),
        big("created_at"),
        big("changed_at"),
    )
    op.create_index("ix_rollouts_policy", "rollouts", ["org", "policy", "created_at"])
    op.create_index("ix_rollouts_state", "rollouts", ["state"])


def _assignments() -> None:
    op.create_table(
        "assignments",
        name("org", key=True),
        name("vault", key=True),
        big("version"),
        Json.column("contents"),
        blob("digest"),
        blob("bundle"),
        name("outcome"),
        prose("reason"),
        big("applied"),
        big("changed_at"),
    )


def _series() -> None:
    op.create_table(
        "series",
        big("id", key=True),
        name("org"),
        name("vault"),
        name("name"),
        sa.UniqueConstraint("org", "vault", "name", name="uq_series"),
    )


def _samples() -> None:
    op.create_table(
        "samples",
        big("series", key=True),
        big("resolution", key=True),
        big("at", key=True),
        big("count"),
        number("total"),
        number("low"),
        number("high"),
        number("last"),
    )
    op.create_index("ix_samples_age", "samples", ["resolution", "at"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        name("org", key=True),
        name("id", key=True),
        name("vault"),
        name("code"),
        name("severity"),
        prose("message"),
        big("at"),
        name("acknowledged_by"),
        big("acknowledged_at"),
    )
    op.create_index("ix_alerts_at", "alerts", ["org", "at"])


def _audit() -> None:
    op.create_table(
        "audit",
        name("org", key=True),
        big("seq", key=True),
        big("at"),
        name("request_id"),
        name("actor"),
        name("token"),
        name("ip"),
        name("operation"),
        prose("target"),
        name("phase"),
        name("result"),
        name("code"),
        Json.column("detail"),
        blob("previous"),
        blob("hash"),
    )


def _witnessed() -> None:
    op.create_table(
        "witnessed",
        name("org", key=True),
        name("vault", key=True),
        big("size"),
        blob("root"),
        prose("note"),
        big("at"),
        name("fault"),
    )


def _ca_tokens() -> None:
    op.create_table(
        "ca_tokens",
        name("id", key=True),
        blob("hash"),
        name("org"),
        name("vault"),
        flag("replace"),
        name("created_by"),
        big("created_at"),
        big("expires_at"),
        maybe_big("used_at"),
        maybe_blob("used_by"),
        sa.UniqueConstraint("hash", name="uq_ca_tokens_hash"),
    )
    op.create_index("ix_ca_tokens_org", "ca_tokens", ["org", "created_at"])


def _ca_agents() -> None:
    op.create_table(
        "ca_agents",
        name("org", key=True),
        name("vault", key=True),
        name("state"),
        big("generation"),
        big("confirmed"),
        blob("link_key"),
        big("enrolled_at"),
        big("changed_at"),
        prose("reason"),
    )


def _ca_certificates() -> None:
    op.create_table(
        "ca_certificates",
        name("serial", key=True),
        blob("key"),
        name("org"),
        name("vault"),
        big("generation"),
        blob("der"),
        name("issuer"),
        big("not_before"),
        big("not_after"),
        maybe_big("revoked_at"),
        sa.UniqueConstraint("key", name="uq_ca_certificates_key"),
    )
    op.create_index("ix_ca_certificates_agent", "ca_certificates", ["org", "vault", "generation"])
    op.create_index("ix_ca_certificates_end", "ca_certificates", ["not_after"])


def _ca_joins() -> None:
    op.create_table(
        "ca_joins",
        name("id", key=True),
        blob("key"),
        blob("link_key"),
        name("org"),
        prose("label"),
        name("source"),
        big("requested_at"),
        big("expires_at"),
        name("state"),
        name("given_org"),
        name("given_vault"),
        flag("replace"),
        name("decided_by"),
        maybe_big("decided_at"),
        sa.UniqueConstraint("key", name="uq_ca_joins_key"),
    )
    op.create_index("ix_ca_joins_requested", "ca_joins", ["requested_at"])
    op.create_index("ix_ca_joins_state", "ca_joins", ["state", "requested_at"])
