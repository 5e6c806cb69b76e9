"""An alert is a condition with an end, one row of each; an agent's health has a column.

`agent_online` and `unsealed` were alerts that somebody had to acknowledge: they end the one before.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_ENDS = {"agent_online": "agent_offline", "unsealed": "sealed"}
_CONDITIONS = frozenset(
    {
        *("agent_offline", "sealed", "audit_sink_failed", "store_failed", "disk_low"),
        *("policy_expired", "certificate_expiring", "clock_set_back"),
    }
)
"""Codes whose alerts may fire on though somebody has acknowledged them."""
_PIECE = 1_000

_alerts = sa.table(
    "alerts",
    *(sa.column(name, sa.Text) for name in ("org", "id", "vault", "code", "subject", "severity")),
    *(sa.column(name, sa.BigInteger) for name in ("at", "acknowledged_at", "ended_at", "last_at")),
)
_agents = sa.table(
    "agents",
    *(sa.column(name, sa.Text) for name in ("org", "vault", "life", "presence", "facts", "health")),
    sa.column("last_seen", sa.BigInteger),
)
_ROWS = (_alerts.c.org, _alerts.c.vault, _alerts.c.subject, _alerts.c.at, _alerts.c.id)


def upgrade() -> None:
    """Every alert gets its end, as far as that is known; of each condition the newest may fire."""
    zero = sa.text("0")
    for name, default in (
        *(("count", sa.text("1")), ("last_at", zero), ("ended_at", zero)),
        *(("reopened", zero), ("resolve_at", zero)),
    ):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default=default)
        op.add_column("alerts", column)
    empty = sa.text("''")
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("agents", sa.Column("health", text, nullable=False, server_default=empty))
    tx = op.get_bind()
    tx.execute(_alerts.update().values(last_at=_alerts.c.at))
    _end(tx)
    _rename(tx)
    _move_health(tx)
    op.create_index("ix_alerts_condition", "alerts", ["org", "code", "vault", "ended_at"])
    owed = sa.text("resolve_at > 0")
    op.create_index(
        "ix_alerts_owed", "alerts", ["resolve_at"], sqlite_where=owed, postgresql_where=owed
    )


def _end(tx: sa.Connection) -> None:
    offline = {
        (row.org, row.vault): row.last_seen
        for row in tx.execute(sa.select(_agents))
        if (row.life, row.presence) != ("active", "offline")
    }
    ends = [end for rows in _conditions(tx) for end in _ends(rows, offline)]
    for start in range(0, len(ends), _PIECE):
        tx.execute(
            _alerts.update()
            .where(_alerts.c.org == sa.bindparam("of_org"), _alerts.c.id == sa.bindparam("of_id"))
            .values(ended_at=sa.bindparam("to_end", type_=sa.BigInteger())),
            ends[start : start + _PIECE],
        )
    sealed = _alerts.c.code == "sealed", _alerts.c.ended_at == 0
    tx.execute(_alerts.update().where(*sealed).values(severity="critical"))


def _conditions(tx: sa.Connection) -> Iterator[list[Any]]:
    """The rows of each condition in order, with those that said that it was over."""
    code = sa.case(_ENDS, value=_alerts.c.code, else_=_alerts.c.code).label("condition")
    chosen = sa.select(_alerts, code).order_by(_alerts.c.org, code, *_ROWS[1:])
    rows = tx.execute(chosen)
    for _, some in groupby(rows, lambda row: (row.org, row.condition, row.vault, row.subject)):
        yield list(some)


def _ends(rows: list[Any], heard: dict[tuple[str, str], int]) -> Iterator[dict[str, Any]]:
    """What is behind a row ends it: the same once more, or word that it is over."""
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if row.code in _ENDS:
            ended = row.at
        elif following is not None:
            ended = following.at
        elif row.code == "agent_offline" and (row.org, row.vault) in heard:
            ended = max(row.at, heard[row.org, row.vault])
        elif row.acknowledged_at and row.code not in _CONDITIONS:
            ended = max(row.at, row.acknowledged_at)
        else:
            continue
        yield {"of_org": row.org, "of_id": row.id, "to_end": ended}


def _rename(tx: sa.Connection) -> None:
    """Of what is on its way to people: the end has the code of what it ends."""
    keys = {"notices": ("id", "kind"), "entries": ("org", "channel", "notice")}
    for name, key in keys.items():
        names = (*key, "body")
        table = sa.table(name, *(sa.column(column, sa.Text) for column in names))
        for row in tx.execute(sa.select(table)).mappings().all():
            body = json.loads(row["body"])
            if body.get("kind") == "resolved" and body.get("code") in _ENDS:
                text = json.dumps(body | {"code": _ENDS[body["code"]]})
                same = [table.c[column] == row[column] for column in key]
                tx.execute(table.update().where(*same).values(body=text))


def _move_health(tx: sa.Connection) -> None:
    for row in tx.execute(sa.select(_agents)).all():
        facts = json.loads(row.facts)
        health = facts.pop("health", None)
        if health is None:
            continue
        same = _agents.c.org == row.org, _agents.c.vault == row.vault
        values = {"facts": json.dumps(facts, separators=(",", ":"))}
        if row.life == "active":
            values["health"] = str(health)
        tx.execute(_agents.update().where(*same).values(**values))
