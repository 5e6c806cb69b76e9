"""What agents report of their vaults' backups, by agent."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from control.model.agents import Life
from control.model.backups import BackupRecord, vault_key
from control.model.conditions import BACKUP_CODES
from control.store.rows import Tx, fetch_all, insert_or_replace, is_one_of, to_struct
from control.store.tables import agents, alerts, backup_reports

AGENTS_PER_QUERY: Final = 500  # names, or vaults, of one statement

_t, _a = backup_reports.c, agents.c
_AMONG: Final = sa.select(backup_reports).where(
    _t.org == sa.bindparam("org"), is_one_of(_t.vault, "names")
)
_ALL: Final = sa.select(backup_reports, _a.vault_id).join(
    agents, sa.and_(_a.org == _t.org, _a.vault == _t.vault, _a.life == Life.ACTIVE)
)
_OF_AGENTS: Final = _ALL.where(_t.org == sa.bindparam("org"), is_one_of(_t.vault, "names"))
_OF_VAULTS: Final = _ALL.where(_t.org == sa.bindparam("org"), is_one_of(_a.vault_id, "vault_ids"))
_FIRING: Final = sa.select(alerts.c.org, alerts.c.vault, alerts.c.code).where(
    alerts.c.code.in_(BACKUP_CODES), alerts.c.ended_at == 0
)


class VaultReports(NamedTuple):
    """The reports of the nodes of one vault."""

    org: str
    key: str
    rows: Sequence[BackupRecord]


def get_records(tx: Tx, org: str, names: Sequence[str]) -> dict[str, BackupRecord]:
    """The reports of these agents, of which there are at most a few hundred."""
    return {row.vault: row for row in fetch_all(tx, BackupRecord, _AMONG, org=org, names=names)}


def put_records(tx: Tx, *rows: BackupRecord) -> None:
    """Add, or replace those of their agents."""
    insert_or_replace(tx, backup_reports, *rows)


def list_vault_reports(tx: Tx) -> list[VaultReports]:
    """All reports of active agents, by vault."""
    return _group(tx.execute(_ALL).mappings())


def list_organization_reports(tx: Tx, org: str) -> dict[str, Sequence[BackupRecord]]:
    """The reports of an organization's active agents, by `vault_key`."""
    found = _group(tx.execute(_ALL.where(_t.org == org)).mappings())
    return {each.key: each.rows for each in found}


def get_vault_reports(
    tx: Tx, org: str, agents_of: Sequence[tuple[str, str]]
) -> dict[str, Sequence[BackupRecord]]:
    """The reports of the vaults of these agents (name, vault's id), by `vault_key`."""
    names = sorted(name for name, vault_id in agents_of if not vault_id)
    ids = sorted({vault_id for _, vault_id in agents_of if vault_id})
    rows = [
        row
        for statement, parameter, values in (
            (_OF_AGENTS, "names", names),
            (_OF_VAULTS, "vault_ids", ids),
        )
        for start in range(0, len(values), AGENTS_PER_QUERY)
        for row in tx.execute(
            statement, {"org": org, parameter: values[start : start + AGENTS_PER_QUERY]}
        ).mappings()
    ]
    return {each.key: each.rows for each in _group(rows)}


def firing_codes(tx: Tx, org: str = "") -> set[tuple[str, str, str]]:
    """Organization, agent and code of each alert about backups that fires; "": of all."""
    chosen = _FIRING.where(alerts.c.org == org) if org else _FIRING
    return {(org, vault, code) for org, vault, code in tx.execute(chosen)}


def _group(rows: sa.MappingResult | Sequence[sa.RowMapping]) -> list[VaultReports]:
    found: dict[tuple[str, str], list[BackupRecord]] = {}
    for row in rows:
        key = row["org"], vault_key(row["vault"], row["vault_id"])
        found.setdefault(key, []).append(to_struct(BackupRecord, row))
    return [VaultReports(*key, found[key]) for key in sorted(found)]
