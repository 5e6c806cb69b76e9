"""People: second factors, several organizations, invitations, identity providers."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, blob, flag, name, prose

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Accounts that exist go on as they are; a session that exists was not proven lately."""
    _columns()
    _memberships()
    _second_factors()
    _invitations()
    _providers()


def _columns() -> None:
    text, number = sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), sa.BigInteger()
    op.add_column("tokens", sa.Column("acting", text, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("proven_at", number, nullable=False, server_default="0"))
    op.add_column("users", sa.Column("email", text, nullable=False, server_default=""))
    op.create_index("ix_users_email", "users", ["org", "email"])
    op.add_column(
        "organizations",
        sa.Column("second_factor", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def _memberships() -> None:
    op.create_table(
        "memberships",
        name("org", key=True),
        name("home", key=True),
        name("name", key=True),
        name("role"),
        name("created_by"),
        big("created_at"),
        sa.Index("ix_memberships_account", "home", "name"),
    )


def _second_factors() -> None:
    op.create_table(
        "second_factors",
        name("org", key=True),
        name("name", key=True),
        blob("secret"),
        flag("confirmed"),
        big("last_step"),
        big("created_at"),
    )
    op.create_table(
        "recovery_codes", name("org", key=True), name("name", key=True), blob("digest", key=True)
    )


def _invitations() -> None:
    op.create_table(
        "invitations",
        name("org", key=True),
        name("id", key=True),
        blob("digest"),
        name("email"),
        name("role"),
        name("created_by"),
        big("created_at"),
        big("expires_at"),
        big("used_at"),
        name("used_by"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.Index("ix_invitations_email", "org", "email"),
    )


def _providers() -> None:
    op.create_table(
        "identity_providers",
        name("org", key=True),
        prose("issuer"),
        prose("client_id"),
        blob("client_secret"),
        Json.column("terms"),
        big("changed_at"),
    )
    op.create_table(
        "identities",
        name("issuer", key=True),
        name("subject", key=True),
        name("org", key=True),
        name("name"),
        big("created_at"),
        big("last_login"),
        sa.Index("ix_identities_account", "org", "name"),
    )
    op.create_table(
        "oidc_flows",
        blob("state", key=True),
        name("org"),
        blob("browser"),
        prose("nonce"),
        prose("verifier"),
        prose("redirect"),
        name("invitation"),
        big("expires_at"),
        sa.Index("ix_oidc_flows_expiry", "expires_at"),
    )
