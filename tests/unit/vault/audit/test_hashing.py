"""Values become keyed hashes, all of them; structure stays, bounded."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from vault.audit.hashing import MAX_DEPTH, MAX_KEY, MAX_VALUES, PREFIX, ValueHasher
from vault.audit.testing import make_keys
from vault.handlers.secrets import SecretVersionRef
from vault.model.payloads import ListReaders, ReadSecret
from vault.model.reference import ReferencePayload

HASHER = ValueHasher(make_keys().mac)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


class Login(Struct, frozen=True):
    """A payload as the pipeline hands it over."""

    user: str
    pin: int
    remember: bool
    raw: bytes
    tags: tuple[str, ...] = ()


def _scalars(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in _scalars(value)]
    if isinstance(data, list | tuple):
        return [leaf for value in data for leaf in _scalars(value)]
    return [data]


@given(trees)
def test_no_value_stays(data: Any) -> None:
    """Whatever a value is, what is left is a hash; shape and keys that show are as they were."""
    hashed = HASHER.redact(data)
    for leaf in _scalars(hashed):
        assert leaf.startswith(PREFIX)
        assert len(leaf) == len(PREFIX) + 64
    assert _shape(hashed) == _shape(data, lambda key: key if key.isprintable() else hashed_key(key))
    msgspec.json.encode(hashed)


def hashed_key(key: str) -> str:
    """As whoever looks for it writes it."""
    return HASHER.hash_value(key)


def _shape(data: Any, shown: Callable[[str], str] = str) -> Any:
    if isinstance(data, dict):
        return {shown(key): _shape(value, shown) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_shape(value, shown) for value in data]
    return None


@pytest.mark.parametrize(
    "key", ["\x1b]0;x\x07", "a\x9b31m", "user\u202e", "\u2066a", "a\u200b", "a\nb", "\0"]
)
def test_a_key_that_does_not_show_is_hashed(key: str) -> None:
    """A terminal would obey it, or show another one."""
    assert HASHER.redact({key: 1, "b": 2}) == {
        hashed_key(key): HASHER.hash_value(1),
        "b": HASHER.hash_value(2),
    }


def test_types_are_told_apart() -> None:
    """1, 1.0, "1", "1.0", true, "true", null, "null", b"1" and "" have ten hashes."""
    values: list[object] = [1, 1.0, "1", "1.0", True, "true", None, "null", b"1", ""]
    assert len({HASHER.hash_value(value) for value in values}) == len(values)


@given(scalars)
def test_a_value_can_be_looked_up(value: Any) -> None:
    """`value` gives the hash that a record has, wherever the value stood."""
    assert HASHER.redact({"a": [{"b": value}]}) == {"a": [{"b": HASHER.hash_value(value)}]}
    assert HASHER.redact(value) == HASHER.hash_value(value)


def test_the_key_decides() -> None:
    """Two vaults hash one value differently, one vault always in the same way."""
    other = ValueHasher(make_keys(b"other").mac)
    assert HASHER.hash_value("hunter2") == ValueHasher(make_keys().mac).hash_value("hunter2")
    assert HASHER.hash_value("hunter2") != other.hash_value("hunter2")
    assert HASHER.hash_value(None) != other.hash_value(None)


def test_structs_are_taken_as_their_fields() -> None:
    """A payload struct is hashed field by field."""
    login = Login("alice", 1234, remember=True, raw=b"\x00\xff", tags=("a",))
    assert HASHER.redact(login) == {
        "user": HASHER.hash_value("alice"),
        "pin": HASHER.hash_value(1234),
        "remember": HASHER.hash_value(value=True),
        "raw": HASHER.hash_value(b"\x00\xff"),
        "tags": [HASHER.hash_value("a")],
    }


def test_a_long_key_is_taken_for_data() -> None:
    """A key that is too long to be a name does not stand in the log."""
    hashed = HASHER.redact({"k" * MAX_KEY: 1, "s" * (MAX_KEY + 1): 2})
    assert hashed == {
        "k" * MAX_KEY: HASHER.hash_value(1),
        HASHER.hash_value("s" * 257): HASHER.hash_value(2),
    }


def _nest(depth: int) -> object:
    data: object = "leaf"
    for _ in range(depth):
        data = {"a": data}
    return data


def test_deep_data_is_one_hash_from_the_bound_on() -> None:
    """At `MAX_DEPTH` the rest is one hash; above it nothing is lost."""
    hashed: Any = HASHER.redact(_nest(MAX_DEPTH + 5))
    for _ in range(MAX_DEPTH):
        hashed = hashed["a"]
    assert hashed == HASHER.hash_value(_nest(5))
    assert HASHER.hash_value("leaf") in json.dumps(HASHER.redact(_nest(MAX_DEPTH)))


def test_many_values_are_one_hash_from_the_bound_on() -> None:
    """A record never holds more than `MAX_VALUES` of them."""
    assert len(_scalars(HASHER.redact(list(range(MAX_VALUES))))) == MAX_VALUES
    many = list(range(MAX_VALUES + 1))
    assert HASHER.redact(many) == HASHER.hash_value(many)
    wide = [{"a": list(range(400))} for _ in range(10)]
    assert len(_scalars(HASHER.redact(wide))) < MAX_VALUES


def test_a_whole_tree_hashes_the_same_in_any_order_of_keys() -> None:
    """The one hash of a subtree is over sorted keys."""
    assert HASHER.hash_value({"a": 1, "b": [2]}) == HASHER.hash_value({"b": [2], "a": 1})
    assert HASHER.hash_value({"a": 1}) != HASHER.hash_value({"a": "1"})


def test_odd_values_have_hashes() -> None:
    """Lone surrogates, NaN, and integers of any length do not stop a record."""
    values = ["\ud800", float("nan"), float("inf"), 2**64, -(2**64), 10**5000]
    assert len({HASHER.hash_value(value) for value in values}) == len(values)


def test_what_has_no_json_is_refused() -> None:
    """An object that is no data is the program's fault and not silently turned into text."""
    with pytest.raises(TypeError):
        HASHER.redact({"a": object()})


def test_keys_that_are_not_text_become_text() -> None:
    """Integer keys, as of a map of versions, stand as JSON has them."""
    assert HASHER.redact({1: "a"}) == {"1": HASHER.hash_value("a")}


class _Name(ReferencePayload, frozen=True):
    id: str
    version: int


class _OtherName(ReferencePayload, frozen=True):
    id: str
    version: int


def test_a_reference_reads_as_any_struct_each_time() -> None:
    """What is remembered is what would be made anew, field by field and kind by kind."""
    made: list[str] = []

    def mac(data: bytes) -> bytes:
        made.append("")
        return make_keys().mac(data)

    hasher = ValueHasher(mac)
    for name in [_Name("a", 1), _Name("a", 2), _OtherName("a", 1), _Name("a", 1)]:
        plain = ValueHasher(make_keys().mac).redact({"id": name.id, "version": name.version})
        assert msgspec.json.decode(msgspec.json.encode(hasher.redact(name))) == plain
    before = len(made)
    hasher.redact(_Name("a", 1))
    assert len(made) == before


class _Odd(ReferencePayload, frozen=True):
    number: int | bool | None
    text: str | bytes
    several: tuple[str, ...] = ()


@pytest.mark.parametrize("number", [1, True, False, 0, None, -(2**70)])
@pytest.mark.parametrize("text", ["", "é", b"a"])
@pytest.mark.parametrize("several", [(), ("a", "b")])
def test_fields_of_a_reference_are_told_apart(
    number: int | None, text: str | bytes, several: tuple[str, ...]
) -> None:
    """Whichever numbers were rendered before: 1 and true are equal, and not the same."""
    hasher = ValueHasher(make_keys().mac)
    for before in (1, True, 0, False):
        hasher.redact(_Odd(before, "x"))
    plain = hasher.redact({"number": number, "text": text, "several": several})
    found = hasher.redact(_Odd(number, text, several))
    assert msgspec.json.decode(msgspec.json.encode(found)) == plain


@pytest.mark.parametrize(
    "reference",
    [
        ReadSecret(),
        ReadSecret(version=2**70),
        ListReaders(),
        SecretVersionRef("é-1", 1),
        SecretVersionRef("", 0),
    ],
)
def test_what_references_there_are_is_rendered_byte_for_byte_as_anything(
    reference: ReferencePayload,
) -> None:
    """Also where all fields are defaults; a new kind of reference belongs into this test."""
    ours = [ReadSecret, ListReaders, SecretVersionRef]
    assert [
        one for one in ReferencePayload.__subclasses__() if one.__module__[:5] == "vault"
    ] == ours
    hasher = ValueHasher(make_keys().mac)
    general = hasher.redact(msgspec.to_builtins(reference))
    for _ in range(2):
        assert msgspec.json.encode(hasher.redact(reference)) == msgspec.json.encode(general)
