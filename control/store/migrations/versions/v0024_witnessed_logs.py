"""The witness remembers logs, not agents: no second enrolment has another history cosigned."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Each log is remembered at the largest size that was cosigned, for whichever agent.

    Of two histories of one size the older checkpoint counts; the agent of the other has a fault.
    """
    op.create_table(
        "witnessed_logs",
        sa.Column("origin", _TEXT, primary_key=True, nullable=False),
        sa.Column("signer", sa.LargeBinary(), primary_key=True, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("org", _TEXT, nullable=False),
        sa.Column("vault", _TEXT, nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
    )
    agents = _table("witnessed", "org", "vault", "size", "root", "note", "at", "fault", "signer")
    logs = _table(
        "witnessed_logs",
        *("origin", "signer", "size", "root", "note", "at", "org", "vault", "disputed"),
    )
    a = agents.c
    chosen = sa.select(agents).where(a.size > 0, sa.func.length(a.signer) > 0)
    connection = op.get_bind()
    found: dict[tuple[str, bytes], dict[str, object]] = {}
    rows = connection.execute(chosen.order_by(a.size.desc(), a.at, a.org, a.vault)).mappings()
    for row in rows.all():
        key = row["note"].partition("\n")[0], bytes(row["signer"])
        first = found.get(key)
        if first is None:
            kept = {name: row[name] for name in ("size", "root", "note", "at", "org", "vault")}
            disputed = row["fault"] in {"fork", "rollback"}
            found[key] = {"origin": key[0], "signer": key[1], **kept, "disputed": disputed}
        elif first["size"] == row["size"] and first["root"] != row["root"]:
            first["disputed"] = True
            here = (a.org == row["org"], a.vault == row["vault"], a.fault == "")
            connection.execute(agents.update().where(*here).values(fault="fork"))
    if found:
        connection.execute(logs.insert(), list(found.values()))


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))
