"""A filter forgets no member, and knows most strangers."""

import pytest

from vault.audit.bloom_filter import MATCH_ALL, MAX_BYTES, build_filter, may_contain


def _members(count: int, name: str = "member") -> list[bytes]:
    return [b"%s-%d" % (name.encode(), number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 10, 1_000, 5_000, 40_000])
def test_every_member_is_held(count: int) -> None:
    """Also in a filter that has reached its bound."""
    members = _members(count)
    field = build_filter(members)
    assert all(may_contain(field, member) for member in members)
    assert len(field) <= MAX_BYTES


@pytest.mark.parametrize("count", [1, 10, 1_000, 5_000])
def test_strangers_are_mostly_known(count: int) -> None:
    """Of 10,000 at most 150 are taken for members: theory says 67 where it is fullest."""
    field = build_filter(_members(count))
    assert sum(may_contain(field, stranger) for stranger in _members(10_000, "stranger")) <= 150


def test_the_size_follows_the_members() -> None:
    """12 to 24 bits for each, and a filter of nothing holds nothing."""
    assert 12 <= len(build_filter(_members(1_000))) * 8 / 1_000 <= 24
    assert not may_contain(build_filter([]), b"")


def test_the_form_stays() -> None:
    """Filters are stored: another release must read them as this one does."""
    assert build_filter([b"a", b"path=secret/a"]).hex() == "80000101020004000800000020004000"


@pytest.mark.parametrize("field", [b"", b"\x00" * 3, MATCH_ALL])
def test_what_is_no_filter_may_hold_anything(field: bytes) -> None:
    """The database is not trusted: a search then looks for itself."""
    assert may_contain(field, b"a")
