"""Who was locked or retired stayed online for good: nobody listens for them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_LAST_HEARD = sa.text(
    """
    SELECT h.org, h.subject, h.at, a.changed_at,
        (
            SELECT min(e.at) FROM history e
            WHERE e.org = h.org AND e.aspect = 'life' AND e.subject = h.subject
                AND e.value <> 'active' AND e.at > coalesce(
                    (
                        SELECT max(b.at) FROM history b
                        WHERE b.org = h.org AND b.aspect = 'life' AND b.subject = h.subject
                            AND b.value = 'active'
                    ), 0)
        ) AS ended
    FROM history h JOIN agents a ON a.org = h.org AND a.vault = h.subject
    WHERE a.life <> 'active' AND h.aspect = 'presence' AND h.value = 'heard'
        AND h.at = (
            SELECT max(l.at) FROM history l
            WHERE l.org = h.org AND l.aspect = 'presence' AND l.subject = h.subject
        )
    """
)
"""Agents that are not active, and were heard to this day by what is on record: since when, when the
row was changed last, and when this end of their life began (null where that is not on record)."""

_SILENT = sa.text(
    "INSERT INTO history (org, aspect, subject, at, value, detail, before) "
    "VALUES (:org, 'presence', :subject, :at, 'silent', '{}', :before)"
)


def upgrade() -> None:
    """Their last words stay; the time since the lock is not one in which they were heard."""
    agents = sa.table("agents", sa.column("life", sa.Text), sa.column("presence", sa.Text))
    op.execute(agents.update().where(agents.c.life != "active").values(presence="unknown"))
    turns = [
        {
            "org": row.org,
            "subject": row.subject,
            "at": max(row.changed_at if row.ended is None else row.ended, row.at + 1),
            "before": row.at,
        }
        for row in op.get_bind().execute(_LAST_HEARD)
    ]
    if turns:
        op.get_bind().execute(_SILENT, turns)
