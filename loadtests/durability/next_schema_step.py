"""Tomorrow's step of the schema: a table, rows moved into it, an index, a column that is filled."""

import sqlalchemy as sa
from alembic import op

from vault.store.schema import HEAD

NEXT_REVISION = "tomorrow"

revision = NEXT_REVISION
down_revision = HEAD


def upgrade() -> None:
    """Where each secret's versions are, in a table of its own, and how many on the secret."""
    op.create_table("places", sa.Column("id", sa.String(64)), sa.Column("version", sa.Integer))
    op.execute("INSERT INTO places SELECT secret_id, version FROM secret_versions")
    op.create_index("places_by_id", "places", ["id", "version"], unique=True)
    op.add_column("secrets", sa.Column("places", sa.Integer))
    op.execute("UPDATE secrets SET places = (SELECT count(*) FROM places WHERE id = secrets.id)")
