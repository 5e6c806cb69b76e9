"""People: second factors, several organizations, invitations, identity providers."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import (
    JsonColumn,
    boolean_column,
    bytes_column,
    integer_column,
    name_column,
    prose_column,
)

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
        name_column("org", key=True),
        name_column("home", key=True),
        name_column("name", key=True),
        name_column("role"),
        name_column("created_by"),
        integer_column("created_at"),
        sa.Index("ix_memberships_account", "home", "name"),
    )


def _second_factors() -> None:
    op.create_table(
        "second_factors",
        name_column("org", key=True),
        name_column("name", key=True),
        bytes_column("secret"),
        boolean_column("confirmed"),
        integer_column("last_step"),
        integer_column("created_at"),
    )
    op.create_table(
        "recovery_codes",
        name_column("org", key=True),
        name_column("name", key=True),
        bytes_column("digest", key=True),
    )


def _invitations() -> None:
    op.create_table(
        "invitations",
        name_column("org", key=True),
        name_column("id", key=True),
        bytes_column("digest"),
        name_column("email"),
        name_column("role"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("expires_at"),
        integer_column("used_at"),
        name_column("used_by"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.Index("ix_invitations_email", "org", "email"),
    )


def _providers() -> None:
    op.create_table(
        "identity_providers",
        name_column("org", key=True),
        prose_column("issuer"),
        prose_column("client_id"),
        bytes_column("client_secret"),
        JsonColumn.column("terms"),
        integer_column("changed_at"),
    )
    op.create_table(
        "identities",
        name_column("issuer", key=True),
        name_column("subject", key=True),
        name_column("org", key=True),
        name_column("name"),
        integer_column("created_at"),
        integer_column("last_login"),
        sa.Index("ix_identities_account", "org", "name"),
    )
    op.create_table(
        "oidc_flows",
        bytes_column("state", key=True),
        name_column("org"),
        bytes_column("browser"),
        prose_column("nonce"),
        prose_column("verifier"),
        prose_column("redirect"),
        name_column("invitation"),
        integer_column("expires_at"),
        sa.Index("ix_oidc_flows_expiry", "expires_at"),
    )
