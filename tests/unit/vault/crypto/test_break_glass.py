"""vault.crypto.break_glass."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from vault.crypto.break_glass import (
    BreakGlassRecord,
    BreakGlassSet,
    new_private_key,
    public_key_of,
)
from vault.crypto.errors import AuthenticationFailed

_VECTORS = Path(__file__).parents[3] / "vectors" / "break_glass.json"
VECTORS = json.loads(_VECTORS.read_text())["cases"]
ROOT, OTHER = bytes(range(32)), bytes(range(1, 33))
EMPTY = BreakGlassRecord(org="o", vault="v")


def new_set(private_key: bytes, id_: str = "00000001") -> BreakGlassSet:
    """2 of 3, not wrapped yet."""
    return BreakGlassSet(
        id=id_, shares=3, threshold=2, public_key=public_key_of(private_key), sealed=b"",
        made_at=1, made_by="root",
    )  # fmt: skip


def made() -> tuple[BreakGlassRecord, bytes]:
    """A record with a set, and the set's private key."""
    private_key = new_private_key()
    return EMPTY.with_set(ROOT, new_set(private_key)).authenticate(ROOT), private_key


def test_the_private_key_opens_what_was_stored_and_each_rewrap_of_it() -> None:
    """The root key that is in force, and no other."""
    record, private_key = made()
    stored = BreakGlassRecord.decode(record.encode(), "o", "v")
    assert stored == record
    assert stored.has_private_key(private_key)
    assert stored.open_with(private_key) == ROOT
    assert stored.rewrap(OTHER).open_with(private_key) == OTHER
    assert ROOT not in record.encode()
    with pytest.raises(AuthenticationFailed):
        stored.rewrap(OTHER).check(ROOT)


def test_another_private_key_opens_nothing() -> None:
    """It is told before, and fails all the same."""
    record, _ = made()
    other = new_private_key()
    assert not record.has_private_key(other)
    with pytest.raises(AuthenticationFailed):
        record.open_with(other)
    assert not EMPTY.has_private_key(other)
    with pytest.raises(AuthenticationFailed):
        EMPTY.open_with(other)


@pytest.mark.parametrize(
    "change",
    [
        {"vault": "other"}, {"org": "other"}, {"uses": 1}, {"used_at": 1}, {"tag": bytes(32)},
        {"in_force": {"id": "00000002"}}, {"in_force": {"threshold": 3}},
        {"in_force": {"made_by": "me"}}, {"in_force": {"uses": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_what_was_altered_is_not_believed(change: dict[str, object]) -> None:
    """Whatever it is: the record has a tag, the wrapping is of its vault and set."""
    record, private_key = made()
    if isinstance(inner := change.get("in_force"), dict):
        assert record.in_force is not None
        change = {"in_force": replace(record.in_force, **inner)}
    with pytest.raises(AuthenticationFailed):
        replace(record, **change).open_with(private_key)  # type: ignore[arg-type]  # as listed


def test_a_wrapping_of_somebody_elses_root_key_is_not_believed() -> None:
    """Anybody can wrap to a public key; the tag under the root key is not anybody's."""
    record, private_key = made()
    assert record.in_force is not None
    forged = EMPTY.with_set(OTHER, record.in_force)
    with pytest.raises(AuthenticationFailed):
        replace(forged, tag=record.tag).open_with(private_key)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"org":"x","vault":"v"}'])
def test_bytes_that_are_no_record_of_the_vault(value: bytes) -> None:
    """None at all is: there was never a set."""
    with pytest.raises(AuthenticationFailed):
        BreakGlassRecord.decode(value, "o", "v")
    assert BreakGlassRecord.decode(None, "o", "v") == EMPTY


def test_uses_are_of_the_set_and_of_all() -> None:
    """The next set begins with none; the record goes on."""
    record, _ = made()
    used = record.with_uses(1, 5)
    assert (used.uses, used.used_at) == (1, 5)
    assert used.in_force is not None
    assert used.in_force.uses == 1
    after = used.with_set(ROOT, new_set(new_private_key(), "00000002"))
    assert after.in_force is not None
    assert (after.uses, after.in_force.uses) == (1, 0)
    assert record.with_uses(1, 5, counts=False).in_force == record.in_force


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Rows as another implementation of the specification writes them."""
    private_key, row = bytes.fromhex(case["private_key"]), case["row"].encode()
    if case["expect"] == "success":
        record = BreakGlassRecord.decode(row, case["org"], case["vault"])
        assert record.has_private_key(private_key)
        assert record.open_with(private_key).hex() == case["root_key"]
        assert record.encode() == row
    else:
        with pytest.raises(AuthenticationFailed):
            BreakGlassRecord.decode(row, case["org"], case["vault"]).open_with(private_key)
