"""Which certificates are revoked is asked every few seconds: that reads those, and no others."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """An index of the revoked ones alone, which answers by itself."""
    revoked = sa.text("revoked_at IS NOT NULL")
    op.create_index(
        "ix_ca_certificates_revoked",
        "ca_certificates",
        ["not_after", "serial"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )
