"""Entries of the change feed are followed from any position of this history, and from no other."""

from typing import Any

import pytest
from msgspec.structs import replace

from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError
from vault.model.changes import ChangePosition, FeedExpiredError
from vault.model.records import ChangeRow
from vault.seal.anchor.feed_chain import link_change
from vault.seal.anchor.feed_reader import SecretFeedReader
from vault.store.change_feed import ENTRIES_PER_READ, encode_changes
from vault.store.interface import FeedPosition
from vault.store.row_index import RowChange
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, USERS

KEYS = DerivedAnchorKeys(Keyring.create(1, org="o", vault="v"))


class Entries:
    """A store of nothing else."""

    def __init__(self, count: int, node: str = "n", before: bytes = b"") -> None:
        self.rows: list[ChangeRow] = []
        self.commits = 0
        self._node = node
        self._last = before
        for number in range(1, count + 1):
            self.commit(f"a/{number}")

    @property
    def feed_position(self) -> FeedPosition:
        """Of the last one."""
        return FeedPosition(len(self.rows), self._last)

    def commit(self, *names: str) -> None:
        """One more."""
        self.commits += 1
        changed = {
            SECRETS: [RowChange((name,), None, b"m") for name in names],
            USERS: [RowChange(("u",), None, b"m")],
        }
        data = encode_changes((), changed)
        row = link_change(KEYS, self.commits, self._node, data, self._last)
        self.rows.append(row)
        self._last = row.chain

    async def select(self, _: object, query: StoreQuery) -> list[ChangeRow]:
        """As `Store.select`, for what is asked here."""
        if query.after is not None:
            (after,) = query.after
            return [row for row in self.rows if row.seq > after][: query.limit]
        return [row for row in self.rows if row.seq == query.equals["seq"]]


def reader(entries: Any) -> SecretFeedReader:
    """Of these."""
    return SecretFeedReader(entries, KEYS)


def position(entries: Entries, number: int) -> ChangePosition:
    """Of an entry."""
    return ChangePosition(number, entries.rows[number - 1].chain if number else b"")


@pytest.mark.parametrize("after", [0, 1, ENTRIES_PER_READ - 1, ENTRIES_PER_READ, 199, 200])
async def test_all_that_follows(after: int) -> None:
    """In pieces, names of secrets alone, and to the end that was asked for."""
    entries, names = Entries(200), []
    at = position(entries, after)
    while found := await reader(entries).read(at, 200):
        assert len(found) <= ENTRIES_PER_READ
        names += [name for entry in found for name in entry.names]
        at = found[-1].position
    assert names == [f"a/{number}" for number in range(after + 1, 201)]
    assert at == position(entries, 200) == await reader(entries).position()


async def test_none_beyond_what_is_seen() -> None:
    """The rows of a later commit may not be in the cache yet."""
    entries = Entries(9)
    found = await reader(entries).read(position(entries, 3), 5)
    assert [entry.position.commits for entry in found] == [4, 5]
    entries.commits = 5
    assert await reader(entries).position() == position(entries, 5)


@pytest.mark.parametrize("number", [1, 5, 8, 9])
async def test_a_position_of_another_history(number: int) -> None:
    """Whatever its number, and however far that is."""
    other = position(Entries(9, node="other"), number)
    for count in (9, 7):
        entries = Entries(count)
        with pytest.raises(FeedExpiredError):
            await reader(entries).read(other, count)


async def test_entries_that_are_gone() -> None:
    """The oldest, or some in between, which a rollback that was accepted passes over."""
    entries = Entries(9)
    at = position(entries, 2)
    del entries.rows[2:4]
    with pytest.raises(FeedExpiredError):
        await reader(entries).read(at, 9)
    entries = Entries(9)
    del entries.rows[5:7]
    found = await reader(entries).read(at, 9)
    assert [entry.position.commits for entry in found] == [3, 4, 5]
    with pytest.raises(FeedExpiredError):
        await reader(entries).read(found[-1].position, 9)
    del entries.rows[1:]
    with pytest.raises(FeedExpiredError):
        await reader(entries).read(at, 9)


@pytest.mark.parametrize("number", [4, 6])
async def test_a_changed_entry(number: int) -> None:
    """That a secret was changed cannot be taken out of one."""
    entries = Entries(9)
    at = position(entries, 3)
    entries.rows[number - 1] = replace(entries.rows[number - 1], changes=encode_changes((), {}))
    with pytest.raises(TamperedError, match="feed_damaged"):
        await reader(entries).read(at, 9)
