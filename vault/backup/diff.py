"""What a restore would change: the names of what differs between a backup and a database.

Names and version numbers only, never a value. Both are read in the order of their keys, so it
takes no memory but for what is reported.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from protocols import json_text
from vault.backup.format import TABLES
from vault.backup.reader import Entry
from vault.barrier import SEAL_ROW
from vault.errors import ConflictError
from vault.model.records import (
    ApiKeyRow,
    GroupRow,
    MountRow,
    PolicyRow,
    RoleRow,
    SecretRow,
    UserRow,
)
from vault.seal.seal_record import SealRecord
from vault.store.bulk import read_rows
from vault.store.interface import StoreSession
from vault.store.table import Table
from vault.store.tables import API_KEYS, GROUPS, MOUNTS, POLICIES, ROLES, SECRETS, SYSTEM, USERS

MAX_NAMES: Final = 1_000
"""Differences that are named at most; the others are counted."""
_COMPARED: Final[tuple[Table[Any], ...]] = (
    MOUNTS,
    SECRETS,
    USERS,
    ROLES,
    GROUPS,
    API_KEYS,
    POLICIES,
)


class Difference(Struct, frozen=True):
    """Something that is not the same in both.

    `change`: `only_in_backup`, `only_in_database` or `differs`. `backup` and `database` are what is
    said of it in each: of secrets and policies the version, of others the status.
    """

    kind: str
    name: str
    change: str
    backup: str = ""
    database: str = ""


class BackupDiff(Struct, frozen=True):
    """The differences by kind and change: how many there are, and the first of them by name."""

    counts: dict[str, dict[str, int]]
    differences: list[Difference]

    @property
    def is_cut(self) -> bool:
        """Whether there are more than are named."""
        total = sum(sum(by_change.values()) for by_change in self.counts.values())
        return total > len(self.differences)


def diff_backup(
    entries: Iterable[Entry], session: StoreSession, vault: str, *, limit: int = MAX_NAMES
) -> BackupDiff:
    """Compare what would be restored with a database of the same vault.

    The database's rows are taken as they are: their MACs are not checked. Raises `ConflictError`
    (`other_vault`) for a database of another vault.
    """
    _require_same_vault(session, vault)
    counts: dict[str, dict[str, int]] = {}
    named: list[Difference] = []
    seen: set[str] = set()
    for position, same in groupby(entries, key=lambda entry: entry.place[0]):
        table = TABLES[position]
        if table not in _COMPARED:
            for _ in same:
                pass
            continue
        seen.add(table.name)
        _note(_differences(table, (entry.row for entry in same), session), counts, named, limit)
    for table in _COMPARED:
        if table.name not in seen:
            _note(_differences(table, (), session), counts, named, limit)
    return BackupDiff(counts, named)


def _require_same_vault(session: StoreSession, vault: str) -> None:
    row = session.get(SYSTEM, (SEAL_ROW,))
    found = "" if row is None else json_text.decode(row.value, type=SealRecord).vault
    if found != vault:
        raise ConflictError(
            "other_vault",
            f"the database holds {f'the vault {found}' if found else 'no vault'}, and the backup "
            f"is of the vault {vault}: there is nothing to compare",
        )


def _note(
    differences: Iterator[Difference],
    counts: dict[str, dict[str, int]],
    named: list[Difference],
    limit: int,
) -> None:
    for each in differences:
        by_change = counts.setdefault(each.kind, {})
        by_change[each.change] = by_change.get(each.change, 0) + 1
        if len(named) < limit:
            named.append(each)


def _differences(
    table: Table[Any], backup: Iterable[Any], session: StoreSession
) -> Iterator[Difference]:
    """Of one table, by key; both sides are in the order of the keys."""
    database = read_rows(session, table)
    theirs = next(database, None)
    for ours in backup:
        key = table.key_of(ours)
        while theirs is not None and table.key_of(theirs) < key:
            yield _difference(table, None, theirs)
            theirs = next(database, None)
        if theirs is None or table.key_of(theirs) != key:
            yield _difference(table, ours, None)
            continue
        if _content(ours) != _content(theirs):
            yield _difference(table, ours, theirs)
        theirs = next(database, None)
    while theirs is not None:
        yield _difference(table, None, theirs)
        theirs = next(database, None)


def _difference(table: Table[Any], ours: Any, theirs: Any) -> Difference:
    change = "only_in_database" if ours is None else "only_in_backup" if theirs is None else ""
    return Difference(
        kind=table.name,
        name=_name(theirs if ours is None else ours),
        change=change or "differs",
        backup="" if ours is None else _state(ours),
        database="" if theirs is None else _state(theirs),
    )


def _name(row: Any) -> str:
    match row:
        case MountRow():
            return row.path
        case UserRow():
            return row.username
        case ApiKeyRow():
            return f"{row.name} ({row.id})"
        case _:
            return str(row.name)


def _state(row: Any) -> str:
    """What is said of it: a version, a status."""
    match row:
        case SecretRow():
            return f"version {row.current_version}, {row.status}"
        case PolicyRow():
            return f"version {row.version}"
        case UserRow() | ApiKeyRow():
            return str(row.status)
        case _:
            return ""


def _content(row: Any) -> Any:
    """What makes two rows of one key differ: not when they were used, nor their MAC."""
    match row:
        case SecretRow():
            return row.id, row.current_version, row.status, row.metadata, row.tags, row.expires_at
        case UserRow():
            groups = sorted(row.member_of or {})
            return row.status, row.roles, row.policies, row.email, row.metadata or {}, groups
        case GroupRow():
            return row.policies, row.children, row.metadata, row.alias_key
        case ApiKeyRow():
            return row.status, row.permissions, row.expires_at
        case RoleRow():
            return row.description, row.policies
        case PolicyRow():
            return row.id, row.version, row.document
        case _:
            return row
