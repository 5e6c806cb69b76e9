"""vault.store.committer: an index of rows that could not take over a commit of its own process."""

from typing import Any

import pytest

from actors import Failure
from tests.contract.store.harness import opened
from tests.contract.store.samples import put, remove, user
from tests.support.shared_files import SharedMemory
from tests.unit.vault.seal.anchor.places import KEYRING, KEYS, new_stamp_writer
from vault.barrier import HmacRowGuard
from vault.errors import UnavailableError
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase
from vault.seal.anchor.row_totals import RowTotals
from vault.store.committer import CommitCounts, Committer
from vault.store.interface import UNKNOWN, BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_cache import RowCache
from vault.store.row_index import RowIndex, RowIndexBuilder, sum_places
from vault.store.tables import USERS

GUARD = HmacRowGuard(KEYRING)
NAMES = [f"user-{number}" for number in range(20)]


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that has room for a few rows more than it was made with."""
    monkeypatch.setattr("vault.store.row_index.MIN_SEGMENT_ENTRIES", 8)
    monkeypatch.setattr("vault.store.row_index.MAX_SEGMENTS", 2)


def writing(backend: MemoryBackend, *, is_counted: bool = True) -> Committer:
    """Who commits to an empty database, with an index; `is_counted`: and with a commit stamp."""
    return Committer(
        backend,
        GUARD,
        RowCache(),
        CommitCounts(),
        stamper=new_stamp_writer() if is_counted else None,
        index=RowIndex(RowIndexBuilder()),
    )


def require_all(committer: Committer, names: list[str]) -> None:
    """The index knows each of these rows, and no other one."""

    def compare(session: Any, index: RowIndex) -> None:
        for name in names:
            index.verify_row(USERS, (name,), session.get(USERS, (name,)).mac)
        index.verify_sum(USERS, sum_places(USERS, [(name,) for name in names]))

    committer.read_between_commits(compare)
    assert committer.index is not None
    assert committer.index.finding is None


def fill(committer: Committer) -> None:
    """Commit more than the index has room for: it is stored, and answered so."""
    results = committer.commit([put(USERS, *(user(name) for name in NAMES))])
    assert not any(isinstance(result, Failure) for result in results)
    assert committer.index is not None
    assert committer.index.is_torn


def test_the_only_process_counts_its_rows_before_it_compares_one() -> None:
    """By whoever looks between commits: what it has stored itself is no tampering."""
    committer = writing(MemoryBackend())
    fill(committer)
    require_all(committer, NAMES)
    assert committer.commits == 1


def test_the_only_process_counts_its_rows_before_it_commits_again() -> None:
    """The change reads rows that are compared with the index."""
    committer = writing(MemoryBackend())
    fill(committer)
    [found] = committer.commit([lambda tx: tx.get(USERS, NAMES[-1])])
    assert found == GUARD.stamp("users", user(NAMES[-1]))
    committer.commit([remove(USERS, NAMES[0])])
    require_all(committer, NAMES[1:])
    assert committer.commits == 3


def test_one_of_several_processes_counts_its_rows_when_it_looks() -> None:
    """Until then its commits are refused; what it has stored is not applied a second time."""
    committer = writing(SharedMemory())
    fill(committer)
    [refused] = committer.commit([remove(USERS, NAMES[0])])
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, UnavailableError)
    assert refused.error.code == "store_behind"
    committer.catch_up()
    committer.commit([remove(USERS, NAMES[0])])
    require_all(committer, NAMES[1:])
    assert committer.commits == 2


def test_rows_that_cannot_be_counted_are_not_compared() -> None:
    """Of a database without a commit stamp: it is told why."""
    committer = writing(MemoryBackend(), is_counted=False)
    fill(committer)
    with pytest.raises(UnavailableError) as refused:
        committer.read_between_commits(lambda *_: None)
    assert refused.value.code == "store_full"


class Poor(CommitStampWriter):
    """It has too little memory to count the rows, for as long as a test wants."""

    is_poor = True

    def count_rows(self, *args: Any) -> Any:
        """Until it has enough."""
        if self.is_poor:
            raise MemoryError
        return super().count_rows(*args)


def test_too_little_memory_to_count() -> None:
    """Nothing is compared and nothing stored until there is enough."""
    stamper = Poor(KEYS, base=StampBase(0, RowTotals()), written=b"", node="n")
    index = RowIndex(RowIndexBuilder())
    backend = MemoryBackend()
    committer = Committer(backend, GUARD, RowCache(), CommitCounts(), stamper=stamper, index=index)
    fill(committer)
    for _ in range(2):
        with pytest.raises(BackendError) as refused:
            committer.commit([remove(USERS, NAMES[0])])
        assert (refused.value.code, refused.value.details) == ("store_full", {"outcome": "none"})
    stamper.is_poor = False
    require_all(committer, NAMES)


def test_too_little_memory_for_a_process_that_fell_behind() -> None:
    """It says so whenever it looks, and goes on from what is stored once there is enough."""
    stamper = Poor(KEYS, base=StampBase(0, RowTotals()), written=b"", node="n")
    index = RowIndex(RowIndexBuilder())
    backend = SharedMemory()
    committer = Committer(backend, GUARD, RowCache(), CommitCounts(), stamper=stamper, index=index)
    fill(committer)
    for _ in range(2):
        with pytest.raises(BackendError) as refused:
            committer.catch_up()
        assert (refused.value.code, refused.value.details) == ("store_full", {"outcome": "none"})
    stamper.is_poor = False
    committer.catch_up()
    require_all(committer, NAMES)


class Unanswered(MemoryBackend):
    """It stores what it is given, and does not say so."""

    def write(self, apply: Any) -> None:
        """Stored, each time."""
        super().write(apply)
        raise BackendError("store_unavailable", "away", UNKNOWN)


def unanswered() -> Committer:
    """Who has committed more than the index has room for, without an answer."""
    committer = writing(Unanswered())
    with pytest.raises(BackendError):
        committer.commit([put(USERS, *(user(name) for name in NAMES))])
    return committer


def test_a_commit_that_finds_no_room_is_a_failure_of_the_store() -> None:
    """As of a full disk: nothing is stored of it, and the store looks for its recovery."""
    committer = unanswered()
    with pytest.raises(BackendError) as refused:
        committer.commit([remove(USERS, NAMES[0])])
    assert (refused.value.code, refused.value.details) == ("store_full", {"outcome": "none"})
    require_all(committer, NAMES)


def test_a_commit_in_doubt_that_finds_no_room() -> None:
    """It was stored without an answer: the index is torn by whoever settles that."""
    committer = unanswered()
    with pytest.raises(UnavailableError) as refused:
        committer.read_between_commits(lambda *_: None)
    assert refused.value.code == "store_full"
    require_all(committer, NAMES)


async def test_a_row_that_is_stored_is_not_denied() -> None:
    """Whether it exists, a torn index does not know: the database is asked."""
    backend = MemoryBackend()
    backend.open()
    async with opened(backend, index=RowIndex(RowIndexBuilder())) as store:
        await store.commit(put(USERS, *(user(name) for name in NAMES)))
        assert {store.has_row(USERS, name) for name in NAMES} == {None}
    backend.close()
