"""Rows to store, and a guard that notices every change of one."""

import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vault.errors import TamperedError
from vault.model import records
from vault.model.labels import Labels
from vault.store import tables
from vault.store.table import INTEGER_MAX, INTEGER_MIN, Table
from vault.store.transaction import StoreTx

HOSTILE = '\'; DROP TABLE "x" -- %_\\ \t\n ä😀 A'


def secret(name: str, **fields: Any) -> records.SecretRow:
    """A head whose id is `id-NAME` unless it is given."""
    fields = {"id": f"id-{name}", "created_at": 1, "updated_at": 1, "created_by": "u1"} | fields
    return records.SecretRow(name=name, **fields)


def version(secret_id: str, number: int, **fields: Any) -> records.VersionRow:
    """A version with four bytes in it."""
    fields = {
        "wrapped_dek": b"dek",
        "box": b"\x00\xffbx",
        "kek_generation": 1,
        "created_at": 1,
        "created_by": "u1",
    } | fields
    return records.VersionRow(secret_id=secret_id, version=number, **fields)


def user(name: str, **fields: Any) -> records.UserRow:
    """A user whose id and keys are the name."""
    fields = {"name_key": name, "created_at": 1, "updated_at": 1} | fields
    return records.UserRow(id=name, username=name, **fields)


def api_key(key_id: str, user_id: str) -> records.ApiKeyRow:
    """A key of a user."""
    return records.ApiKeyRow(
        id=key_id, user_id=user_id, name="key", key_hash=b"hash", created_at=1, created_by="u1"
    )


def token(accessor: str) -> records.TokenRow:
    """A token whose accessor is the name; its id is another text."""
    return records.TokenRow(
        id=f"id of {accessor}", accessor=accessor, secret_hash=b"hash", created_at=1, issued_at=1
    )


def system(name: str, value: bytes = b"value") -> records.SystemRow:
    """A row of the one table that has neither guard nor index."""
    return records.SystemRow(name=name, value=value)


def extreme_rows() -> list[tuple[Table[Any], Any]]:
    """A row of each table with the values at the ends of what is allowed, parents first."""
    lasts: dict[type, Any] = {
        str: HOSTILE,
        int: INTEGER_MIN,
        bool: True,
        bytes: bytes(range(256)),
        list[str]: [HOSTILE, ""],
        dict[str, str]: {HOSTILE: HOSTILE, "": ""},
        dict[str, Any]: {"a": [1, -1, 1.5, None, True, {"b": {}}], "ä": HOSTILE},
        dict[str, Any] | None: {"every": "1d", "keep": [1, 2]},
        dict[str, int] | None: {HOSTILE: -1},
        list[str] | UnsetType: ["b", HOSTILE],
        str | UnsetType: HOSTILE,
        dict[str, str] | UnsetType: {HOSTILE: HOSTILE, "": ""},
        int | UnsetType: INTEGER_MIN,
        bool | UnsetType: True,
        records.GrantAuthority: records.GrantAuthority(
            policies=[HOSTILE], from_login=[HOSTILE], method=HOSTILE, ip=HOSTILE
        ),
        Labels | UnsetType: Labels(metadata={HOSTILE: ""}, tags=[HOSTILE]),
        list[dict[str, list[str]]]: [{"paths": ["a/*"], "capabilities": []}, {}],
    }
    rows = []
    for table in tables.ALL:
        fields = msgspec.structs.fields(table.row)
        values = {field.name: lasts[field.type] for field in fields}
        rows.append((table, table.row(**values)))
        least = {name: _least(value) for name, value in values.items()}
        least |= {field.name: UNSET for field in fields if field.default is UNSET}
        for name in (*table.key, *table.unique, *table.references):
            least[name] = INTEGER_MAX if isinstance(least[name], int) else "x"
        rows.append((table, table.row(**least)))
    return rows


def _least(value: Any) -> Any:
    if isinstance(value, records.GrantAuthority):
        return records.GrantAuthority(policies=[], method="", ip="")
    return INTEGER_MAX if type(value) is int else type(value)()


class StampGuard:
    """A checksum over table and row: enough to notice what a test did to the database."""

    def stamp(self, table: str, row: Any) -> Any:
        """The row with its checksum."""
        return msgspec.structs.replace(row, mac=self._mac(table, row))

    def check(self, table: str, row: Any) -> None:
        """Raise when the checksum is another's."""
        if row.mac != self._mac(table, row):
            raise TamperedError("row_tampered", f"a row of {table} is not authentic", table=table)

    def _mac(self, table: str, row: Any) -> bytes:
        content = msgspec.msgpack.encode(
            [table, msgspec.structs.replace(row, mac=b"")], order="deterministic"
        )
        return zlib.crc32(content).to_bytes(4)


def put(table: Table[Any], *rows: Any) -> Callable[[StoreTx], None]:
    """A change that puts rows."""

    def change(tx: StoreTx) -> None:
        for row in rows:
            tx.put(table, row)

    return change


def remove(table: Table[Any], *key: Any) -> Callable[[StoreTx], None]:
    """A change that deletes a row."""
    return lambda tx: tx.delete(table, *key)


def next_version(name: str) -> Callable[[StoreTx], int]:
    """The change that the store is for: a version more, and the head that points to it."""

    def change(tx: StoreTx) -> int:
        head = tx.get(tables.SECRETS, name) or secret(name)
        number = head.current_version + 1
        tx.put(tables.SECRETS, msgspec.structs.replace(head, current_version=number))
        tx.put(tables.VERSIONS, version(head.id, number))
        return number

    return change
