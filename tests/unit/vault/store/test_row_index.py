"""vault.store.row_index: what the rows have to be, whatever the file says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, remove, user
from tests.unit.vault.seal.anchor.places import KEYS
from vault.errors import TamperedError
from vault.seal.anchor.row_totals import require_searched_rows, sum_rows
from vault.store.committer import CommitCounts, Committer
from vault.store.interface import UNKNOWN, BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, RowCache
from vault.store.row_index import (
    MIN_SEGMENT_ENTRIES,
    RowChange,
    RowIndex,
    RowIndexBuilder,
    sum_places,
)
from vault.store.store import open_store
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import POLICIES, SECRETS, TOKENS, USERS
from vault.store.transaction import transact

KEYS_OF_ROWS = st.integers(0, 40)
CHANGES = st.lists(st.tuples(KEYS_OF_ROWS, st.integers(0, 3)), max_size=120)


def mac(number: int) -> bytes:
    """A stamp; the index keeps its first bytes."""
    return number.to_bytes(8) + b"\xff" * 24


def index_of(*names: str) -> RowIndex:
    """Of policies with these names, stamped with 1."""
    rows = RowIndexBuilder()
    for name in names:
        rows.add(POLICIES, (name,), mac(1))
    return RowIndex(rows)


@given(CHANGES)
def test_it_is_what_was_committed(changes: list[tuple[int, int]]) -> None:
    """Rows that came, changed and went, in places that many of them would like to have."""
    index, model = index_of(), dict[str, int]()
    index._segments[:] = [memoryview(bytearray(2 * 64 * 8)).cast("Q")]  # so small that all collide
    for number, stamp in changes:
        name = str(number)
        old = mac(model[name]) if name in model else None
        index.apply({POLICIES: [RowChange((name,), old, mac(stamp) if stamp else None)]})
        model.pop(name, None)
        model |= {name: stamp} if stamp else {}
        for other in map(str, range(41)):
            there = model.get(other)
            assert index.matches(POLICIES, (other,), None if there is None else mac(there))
        index.verify_sum(POLICIES, sum_places(POLICIES, [(name,) for name in model]))
    assert sum(index._taken) == len(model) + bool(model)  # and the sum


def test_what_goes_takes_nothing_with_it() -> None:
    """In a full segment, where rows lie in places that were not their first choice."""
    index, names = index_of(), [str(number) for number in range(MIN_SEGMENT_ENTRIES)]
    index.apply({POLICIES: [RowChange((name,), None, mac(1)) for name in names]})
    index.apply({POLICIES: [RowChange((name,), mac(1), None) for name in names[::2]]})
    assert all(index.matches(POLICIES, (name,), mac(1)) for name in names[1::2])
    assert all(index.matches(POLICIES, (name,), None) for name in names[::2])


def test_a_full_segment_gets_another_beside_it() -> None:
    """Nothing is lost, and what is in the first is changed there."""
    index = index_of()
    names = [str(number) for number in range(2 * MIN_SEGMENT_ENTRIES)]
    index.apply({POLICIES: [RowChange((name,), None, mac(1)) for name in names]})
    index.apply({POLICIES: [RowChange((names[0],), mac(1), mac(2))]})
    assert index.matches(POLICIES, (names[0],), mac(2))
    assert all(index.matches(POLICIES, (name,), mac(1)) for name in names[1:])
    assert not index.matches(SECRETS, (names[1],), mac(1))


@pytest.mark.parametrize(
    ("name", "stamp"), [("there", None), ("there", mac(2)), ("gone", mac(1))],
    ids=["hidden", "an older one", "put back"],
)  # fmt: skip
def test_what_is_not_ours_is_remembered(name: str, stamp: bytes | None) -> None:
    """The first finding stays, whatever is asked after it."""
    index = index_of("there")
    assert not index.matches(POLICIES, (name,), stamp)
    assert index.finding is None  # it may be a commit that is half way
    with pytest.raises(TamperedError) as refused:
        index.verify_row(POLICIES, (name,), stamp)
    assert refused.value.code == "row_tampered"
    index.verify_row(POLICIES, ("there",), mac(1))
    assert index.finding is not None
    assert index.finding.details["table"] == "policies"


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_commit_in_doubt_is_settled_by_who_looks(*, is_stored: bool) -> None:
    """Either is right, and from then on that one alone."""
    index = index_of("a")
    changes = [RowChange(("a",), mac(1), mac(2)), RowChange(("b",), None, mac(3))]
    index.mark_in_doubt({POLICIES: changes})
    a, b = (mac(2), mac(3)) if is_stored else (mac(1), None)
    stored = {("a",): a} | ({("b",): b} if b else {})

    def away(_table: object, _keys: object) -> dict[Key, bytes]:
        raise BackendError("store_unavailable", "away")

    with pytest.raises(BackendError):
        index.resolve_in_doubt(away)
    for _ in range(2):
        index.resolve_in_doubt(lambda _table, _keys: stored)
    index.verify_row(POLICIES, ("b",), b)
    index.verify_row(POLICIES, ("a",), a)
    index.verify_sum(POLICIES, sum_places(POLICIES, stored))
    index.apply({POLICIES: [RowChange(("a",), a, None)]})
    with pytest.raises(TamperedError):
        index.verify_row(POLICIES, ("a",), a)


def test_a_row_is_in_the_sets_of_its_columns_and_folders() -> None:
    """It leaves one and joins another as it changes, and is in none once it is gone."""
    index = RowIndex(RowIndexBuilder())
    parent, folder = (
        StoreQuery(equals={"parent": "p"}),
        StoreQuery(prefix=("name", "kv/team/")),
    )

    def is_met(table: Table[Any], query: StoreQuery, *keys: str) -> bool:
        expected = index.expected_set(table, query)
        assert expected is not None
        return expected.is_met_by([(key,) for key in keys])

    made = RowChange(("t",), None, mac(1), (), ("acc", "p", ""))
    index.apply({TOKENS: [made], SECRETS: [RowChange(("kv/team/a",), None, mac(1))]})
    assert is_met(TOKENS, parent, "t")
    assert not is_met(TOKENS, parent)
    assert is_met(SECRETS, folder, "kv/team/a")
    assert not is_met(SECRETS, folder)
    assert is_met(SECRETS, StoreQuery(prefix=("name", "kv/")), "kv/team/a")
    moved = RowChange(("t",), mac(1), mac(2), ("acc", "p", ""), ("acc", "other", ""))
    index.apply({TOKENS: [moved], SECRETS: [RowChange(("kv/team/a",), mac(1), None)]})
    assert is_met(TOKENS, parent)
    assert is_met(TOKENS, StoreQuery(equals={"parent": "other"}), "t")
    assert is_met(SECRETS, folder)
    assert is_met(SECRETS, StoreQuery())
    index.apply({TOKENS: [RowChange(("t",), mac(2), None, ("acc", "other", ""))]})
    assert sum(index._taken) == 0


@pytest.mark.parametrize(
    "query",
    [
        StoreQuery(after=("a",)),
        StoreQuery(prefix=("name", "kv")),
        StoreQuery(at_most=("expires_at", 3)),
        StoreQuery(equals={"status": "active"}),
        StoreQuery(equals={"id": "a"}),
    ],
    ids=["a later page", "no folder", "at most", "not searched", "not summed"],
)
def test_what_no_sum_is_kept_of(query: StoreQuery) -> None:
    """Of such an answer each row is checked, and nobody can tell whether one lacks."""
    assert RowIndex(RowIndexBuilder()).expected_set(SECRETS, query) is None


def test_an_answer_that_was_cut_off() -> None:
    """It has as many rows as were asked for: no more can be said. Of a unique column it is all."""
    index = RowIndex(RowIndexBuilder())
    rows = [RowChange((name,), None, mac(1), (), (f"accessor of {name}", "p", "")) for name in "ab"]
    index.apply({TOKENS: rows})
    cut = index.expected_set(TOKENS, StoreQuery(equals={"parent": "p"}, limit=1))
    one = index.expected_set(TOKENS, StoreQuery(equals={"accessor": "accessor of a"}, limit=1))
    assert cut is not None
    assert one is not None
    assert cut.is_met_by([("a",)])
    assert not one.is_met_by([("b",)])


def indexed(backend: Any) -> RowIndex:
    """Made as at an opening."""
    rows = RowIndexBuilder()
    with backend.read() as session:
        sum_rows(session, KEYS, rows)
        require_searched_rows(session, StampGuard(), rows)
    return RowIndex(rows)


def test_it_is_made_of_the_rows_that_are_summed() -> None:
    """Of the tables that give authority."""
    backend = MemoryBackend()
    transact(backend, put(USERS, user("ann")), StampGuard())
    index = indexed(backend)
    assert index.matches(USERS, ("ann",), StampGuard().stamp("users", user("ann")).mac)
    assert index.matches(USERS, ("bob",), None)


class Writing:
    """Somebody who commits, with an index; the database can be made to fail."""

    def __init__(self) -> None:
        self.backend = FaultyBackend(MemoryBackend())
        self.backend.open()
        transact(self.backend, put(USERS, user("ann")), StampGuard())
        self.index = indexed(self.backend)
        self.committer = Committer(
            self.backend, StampGuard(), RowCache(), CommitCounts(), index=self.index
        )


def test_it_follows_each_commit() -> None:
    """Rows that come, change and go."""
    writing = Writing()
    writing.committer.commit([put(USERS, user("bob")), remove(USERS, "ann")])
    stamp = StampGuard().stamp("users", user("bob")).mac
    assert writing.index.matches(USERS, ("bob",), stamp)
    assert writing.index.matches(USERS, ("ann",), None)
    assert (
        writing.committer.read_between_commits(lambda session, _: session.get(USERS, ("ann",)))
        is None
    )


def test_a_commit_builds_on_no_row_that_is_not_ours() -> None:
    """One put back by somebody with the file, and one that he hides: the change fails."""
    writing = Writing()
    transact(writing.backend, put(USERS, user("zoe")), StampGuard())
    transact(writing.backend, remove(USERS, "ann"), StampGuard())
    for name in ("zoe", "ann"):
        [failure] = writing.committer.commit([lambda tx, name=name: tx.get(USERS, name)])
        assert failure.error.code == "row_tampered"  # type: ignore[attr-defined]  # a Failure
    with pytest.raises(TamperedError):  # it is replaced, and nobody has read it
        writing.committer.commit([put(USERS, user("zoe"))])
    assert writing.index.finding is not None


@pytest.mark.parametrize("stage", ["lost", "stored"])
def test_a_commit_whose_outcome_is_unknown(stage: str) -> None:
    """Whoever commits next looks at what the database says, and goes on from there."""
    writing = Writing()
    writing.backend.faults = [(stage, BackendError("store_unavailable", "away", UNKNOWN))]
    with pytest.raises(BackendError):
        writing.committer.commit([put(USERS, user("bob"))])
    [row] = writing.committer.commit([lambda tx: tx.get(USERS, "bob")])
    stamp = None if row is None else row.mac  # type: ignore[attr-defined]  # a user
    assert (row is not None) is (stage == "stored")
    assert writing.index.matches(USERS, ("bob",), stamp)
    assert writing.index.finding is None


@pytest.fixture
def store_of() -> Any:
    """A function: the store of an agent over this backend."""

    def opened(backend: FaultyBackend, index: RowIndex) -> Any:
        return open_store(backend, StampGuard(), FakeWorld(), index=index)

    return opened


async def test_a_row_that_is_put_back_is_never_served(store_of: Any) -> None:
    """Nor one that is hidden told as gone; neither is kept. What is right is served."""
    backend = FaultyBackend(MemoryBackend())
    transact(backend, put(USERS, user("ann"), user("bob")), StampGuard())
    index = indexed(backend)
    transact(backend, put(USERS, user("zoe")), StampGuard())
    transact(backend, remove(USERS, "ann"), StampGuard())
    async with store_of(backend, index) as store:
        assert (await store.get(USERS, "bob")).id == "bob"
        assert store.finding is None
        for name in ("zoe", "ann"):
            with pytest.raises(TamperedError) as refused:
                await store.get(USERS, name)
            assert refused.value.code == "row_tampered"
            assert store.get_cached(USERS, name) is MISSING
        for question in (store.select, store.select_checked_keys):
            with pytest.raises(TamperedError):
                await question(USERS, StoreQuery())
        assert store.finding is index.finding is not None


async def test_an_older_row_that_is_put_back_counts_in_no_list(store_of: Any) -> None:
    """Its key is where it should be, so nothing lacks: what it says is not what it has to say."""
    backend = FaultyBackend(MemoryBackend())
    transact(backend, put(USERS, user("ann", status="disabled"), user("bob")), StampGuard())
    index = indexed(backend)
    transact(backend, put(USERS, user("ann")), StampGuard())
    async with store_of(backend, index) as store:
        for query in (StoreQuery(), StoreQuery(after=("a",)), StoreQuery(equals={"id": "ann"})):
            with pytest.raises(TamperedError):
                await store.select(USERS, query)
        assert store.finding is index.finding is not None


async def test_a_row_that_is_being_changed_is_looked_at_again(store_of: Any) -> None:
    """The view was of before: whoever commits tells what is so, and nothing is found."""
    backend = FaultyBackend(MemoryBackend())
    transact(backend, put(USERS, user("ann")), StampGuard())
    index = indexed(backend)
    old = StampGuard().stamp("users", user("ann"))
    new = StampGuard().stamp("users", user("ann", email="new"))

    def change() -> None:
        backend.on_read = lambda: None
        transact(backend, put(USERS, new), StampGuard())
        index.apply({USERS: [RowChange(("ann",), old.mac, new.mac, ("ann",), ("ann",))]})

    backend.on_read = change
    async with store_of(backend, index) as store:
        assert (await store.get(USERS, "ann")).email == "new"
        assert index.finding is None
