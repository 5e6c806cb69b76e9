"""vault.store.table: what a table knows of its struct, and which rows any database could hold."""

from enum import StrEnum

import msgspec
import pytest

from vault.errors import ValidationError
from vault.model.path import ResourcePath
from vault.model.records import RoleRow, SecretRow, SystemRow, VersionRow
from vault.store.table import NAME_BYTES, ROW_BYTES, TEXT_BYTES, ColumnKind, Table, packed_has_stamp
from vault.store.tables import ALL, ROLES, SECRETS, SYSTEM, VERSIONS


def secret(**fields: object) -> SecretRow:
    """A head with the given fields."""
    default: dict[str, object] = {"name": "a", "id": "1", "created_at": 1, "updated_at": 1}
    return SecretRow(**(default | {"created_by": "u"} | fields))  # type: ignore[arg-type]


def test_columns_follow_the_struct() -> None:
    """Each field is one column of the kind of its annotation; None as a default means nullable."""
    kinds = SECRETS.kinds
    assert list(kinds) == [field.name for field in msgspec.structs.fields(SecretRow)]
    assert kinds["name"] is ColumnKind.NAME
    assert kinds["cas_required"] is ColumnKind.BOOLEAN
    assert kinds["created_at"] is ColumnKind.INTEGER
    assert kinds["tags"] is kinds["metadata"] is kinds["rotation_policy"] is ColumnKind.JSON
    assert kinds["mac"] is ColumnKind.BLOB
    assert ROLES.kinds["description"] is ColumnKind.TEXT
    assert [c.name for c in SECRETS.columns if c.nullable] == ["rotation_policy"]


def test_guarded() -> None:
    """A table is guarded exactly when its rows have a mac."""
    unguarded = {"system", "secret_access", "credential_usage", "audit_blocks", "changes"}
    assert {t.name for t in ALL if not t.is_guarded} == unguarded


def test_a_packed_row_ends_with_its_stamp() -> None:
    """Which so can be looked at without the row, in every table that is guarded."""
    assert {t.columns[-1].name for t in ALL if t.is_guarded} == {"mac"}
    packed = SECRETS.pack(secret(mac=b"abc"))
    assert packed_has_stamp(packed, b"abc")
    assert not any(packed_has_stamp(packed, other) for other in (b"", b"c", b"bc", b"abd", b"xabc"))
    for end in (b"", b"x", b"xyz"):  # a stamp whose own end looks like one
        packed = SECRETS.pack(secret(mac=b"abc" + msgspec.msgpack.encode(end)))
        assert not packed_has_stamp(packed, end)


def test_keys() -> None:
    """A key is always a tuple."""
    assert SECRETS.key_of(secret()) == ("a",)
    row = VersionRow(
        secret_id="x",
        version=2,
        wrapped_dek=b"",
        box=b"",
        kek_generation=1,
        created_at=1,
        created_by="u",
    )
    assert VERSIONS.key_of(row) == ("x", 2)


class _Word(StrEnum):
    ONE = "one"


def test_admit_makes_strings_plain() -> None:
    """What is stored and cached is what a database would return: no subclass of str."""
    row = SECRETS.normalize_row(secret(name=ResourcePath.parse("a/b"), status=_Word.ONE))
    assert type(row.name) is type(row.status) is str
    assert (row.name, row.status) == ("a/b", "one")
    plain = secret()
    assert SECRETS.normalize_row(plain) == plain


@pytest.mark.parametrize(
    ("table", "row", "field"),
    [
        (SECRETS, secret(name="x" * (NAME_BYTES + 1)), "name"),
        (SECRETS, secret(name="ä" * (NAME_BYTES // 2 + 1)), "name"),
        (SECRETS, secret(created_by="\0"), "created_by"),
        (SECRETS, secret(expires_at=2**63), "expires_at"),
        (SECRETS, secret(expires_at=-(2**63) - 1), "expires_at"),
        (SECRETS, secret(id="\ud800"), "row"),
        (SECRETS, secret(tags=["\udfff"]), "row"),
        (SECRETS, secret(rotation_policy={"n": 2**64}), "row"),
        (SYSTEM, SystemRow(name="a", value=b"x" * ROW_BYTES), "row"),
        (
            ROLES,
            RoleRow(name="a", description="x" * (TEXT_BYTES + 1), created_at=1, updated_at=1),
            "description",
        ),
    ],
)
def test_admit_refuses(table: Table[msgspec.Struct], row: msgspec.Struct, field: str) -> None:
    """What some database could not hold is refused on all of them, naming the field."""
    with pytest.raises(ValidationError) as caught:
        table.normalize_row(row)
    assert caught.value.details == {"field": field}


def test_admit_accepts_the_ends() -> None:
    """The bounds themselves are allowed."""
    row = secret(name="ä" * (NAME_BYTES // 2), expires_at=2**63 - 1, rotation_due=-(2**63))
    assert SECRETS.normalize_row(row) == row
    role = RoleRow(name="a", description="x" * TEXT_BYTES, created_at=1, updated_at=1)
    assert ROLES.normalize_row(role) == role
