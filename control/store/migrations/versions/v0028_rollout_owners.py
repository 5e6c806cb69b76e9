"""A roll-out has an owner and its targets have columns; alerts that nothing could end are ended.

A process of the release before reads `plan` and refuses fields that it does not know: the targets
are in columns of their own, which it ignores.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

_CONTRADICTED = ("audit_fork", "audit_rollback", "audit_key")
_TARGETS = ("targets", "previous_targets")

_rollouts = sa.table(
    "rollouts", *(sa.column(name, sa.Text) for name in ("org", "id", "plan", *_TARGETS))
)
_alerts = sa.table(
    "alerts",
    *(sa.column(name, sa.Text) for name in ("org", "id", "vault", "code")),
    *(sa.column(name, sa.BigInteger) for name in ("at", "ended_at", "last_at")),
)
_agents = sa.table("agents", *(sa.column(name, sa.Text) for name in ("org", "vault", "life")))
_witnessed = sa.table(
    "witnessed",
    *(sa.column(name, sa.Text) for name in ("org", "vault", "note", "fault")),
    sa.column("signer", sa.LargeBinary),
)
_logs = sa.table(
    "witnessed_logs",
    *(sa.column("origin", sa.Text), sa.column("signer", sa.LargeBinary)),
    sa.column("disputed", sa.Boolean),
)


def upgrade() -> None:
    """An empty owner is the account that began the roll-out."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    empty, null = sa.text("''"), sa.text("'null'")
    op.add_column("rollouts", sa.Column("owner", text, nullable=False, server_default=empty))
    for name in _TARGETS:
        op.add_column("rollouts", sa.Column(name, sa.Text(), nullable=False, server_default=null))
    tx = op.get_bind()
    _move_targets(tx)
    _end_settled(tx)


def _move_targets(tx: sa.Connection) -> None:
    for row in tx.execute(sa.select(_rollouts)).all():
        plan = json.loads(row.plan)
        if not plan.keys() & set(_TARGETS):
            continue
        values = {name: json.dumps(plan.pop(name, None)) for name in _TARGETS}
        same = _rollouts.c.org == row.org, _rollouts.c.id == row.id
        tx.execute(_rollouts.update().where(*same).values(plan=json.dumps(plan), **values))


def _end_settled(tx: sa.Connection) -> None:
    """Where the log was accepted or the agent let in again before that ended an alert."""
    lives = {(row.org, row.vault): row.life for row in tx.execute(sa.select(_agents))}
    disputed = {
        (row.origin, bytes(row.signer))
        for row in tx.execute(sa.select(_logs).where(_logs.c.disputed))
    }
    faulty = {
        (row.org, row.vault)
        for row in tx.execute(sa.select(_witnessed))
        if row.fault or (row.note.partition("\n")[0], bytes(row.signer)) in disputed
    }
    codes = (*_CONTRADICTED, "agent_locked")
    chosen = sa.select(_alerts).where(_alerts.c.code.in_(codes), _alerts.c.ended_at == 0)
    for row in tx.execute(chosen).all():
        name = row.org, row.vault
        life = lives.get(name)
        if row.code == "agent_locked":
            lasts = life == "locked"
        else:
            lasts = name in faulty and life != "retired"
        if not lasts:
            same = _alerts.c.org == row.org, _alerts.c.id == row.id
            ended = max(row.at, row.last_at)
            tx.execute(_alerts.update().where(*same).values(ended_at=ended))
