"""What agents report of their vaults, by agent: backups, and rotations with leases."""

from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from control.model.agents import Life
from control.model.backups import BackupRecord
from control.model.conditions import BACKUP_CODES, ROTATION_CODES
from control.model.rotations import RotationRecord
from control.model.vault_reports import ReportRecord, vault_key
from control.store.rows import Tx, fetch_all, insert_or_replace, is_one_of, to_struct
from control.store.tables import agents, alerts, backup_reports, rotation_reports

R = TypeVar("R", bound=ReportRecord)

AGENTS_PER_QUERY: Final = 500  # names, or vaults, of one statement

_a = agents.c


class VaultReports(NamedTuple, Generic[R]):
    """The reports of the nodes of one vault."""

    org: str
    key: str
    rows: Sequence[R]


class ReportTable(Generic[R]):
    """The reports of one kind; `codes`: of the alerts about them."""

    def __init__(self, record: type[R], table: sa.Table, codes: Sequence[str]) -> None:
        self.codes = codes
        self._record = record
        self._table = table
        t = table.c
        org: sa.BindParameter[str] = sa.bindparam("org")
        self._all = sa.select(table, _a.vault_id).join(
            agents, sa.and_(_a.org == t.org, _a.vault == t.vault, _a.life == Life.ACTIVE)
        )
        self._among = sa.select(table).where(t.org == org, is_one_of(t.vault, "names"))
        self._of_organization = self._all.where(t.org == org)
        self._of_agents = self._of_organization.where(is_one_of(t.vault, "names"))
        self._of_vaults = self._of_organization.where(is_one_of(_a.vault_id, "vault_ids"))
        self._firing = sa.select(alerts.c.org, alerts.c.vault, alerts.c.code).where(
            alerts.c.code.in_(codes), alerts.c.ended_at == 0
        )

    def get_records(self, tx: Tx, org: str, names: Sequence[str]) -> dict[str, R]:
        """The reports of these agents, of which there are at most a few hundred."""
        found = fetch_all(tx, self._record, self._among, org=org, names=names)
        return {row.vault: row for row in found}

    def put_records(self, tx: Tx, *rows: R) -> None:
        """Add, or replace those of their agents."""
        insert_or_replace(tx, self._table, *rows)

    def list_vault_reports(self, tx: Tx) -> list[VaultReports[R]]:
        """All reports of active agents, by vault."""
        return self._group(tx.execute(self._all).mappings())

    def list_organization_reports(self, tx: Tx, org: str) -> dict[str, Sequence[R]]:
        """The reports of an organization's active agents, by `vault_key`."""
        found = self._group(tx.execute(self._of_organization, {"org": org}).mappings())
        return {each.key: each.rows for each in found}

    def get_vault_reports(
        self, tx: Tx, org: str, agents_of: Sequence[tuple[str, str]]
    ) -> dict[str, Sequence[R]]:
        """The reports of the vaults of these agents (name, vault's id), by `vault_key`."""
        names = sorted(name for name, vault_id in agents_of if not vault_id)
        ids = sorted({vault_id for _, vault_id in agents_of if vault_id})
        rows = [
            row
            for statement, parameter, values in (
                (self._of_agents, "names", names),
                (self._of_vaults, "vault_ids", ids),
            )
            for start in range(0, len(values), AGENTS_PER_QUERY)
            for row in tx.execute(
                statement, {"org": org, parameter: values[start : start + AGENTS_PER_QUERY]}
            ).mappings()
        ]
        return {each.key: each.rows for each in self._group(rows)}

    def firing_codes(self, tx: Tx, org: str = "") -> set[tuple[str, str, str]]:
        """Organization, agent and code of each alert about them that fires; "": of all."""
        chosen = self._firing.where(alerts.c.org == org) if org else self._firing
        return {(org, vault, code) for org, vault, code in tx.execute(chosen)}

    def _group(self, rows: sa.MappingResult | Sequence[sa.RowMapping]) -> list[VaultReports[R]]:
        found: dict[tuple[str, str], list[R]] = {}
        for row in rows:
            key = row["org"], vault_key(row["vault"], row["vault_id"])
            found.setdefault(key, []).append(to_struct(self._record, row))
        return [VaultReports(*key, found[key]) for key in sorted(found)]


backups: Final = ReportTable(BackupRecord, backup_reports, BACKUP_CODES)
rotations: Final = ReportTable(RotationRecord, rotation_reports, ROTATION_CODES)
