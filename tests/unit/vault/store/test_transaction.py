"""vault.store.transaction: overlays that agree with a plain dictionary after any changes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.store.samples import StampGuard, put, secret, system
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.model.records import AccessRow
from vault.store.interface import ConstraintError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.query import apply_query
from vault.store.row_cache import MISSING, RowCache
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, SECRETS, SYSTEM
from vault.store.transaction import StoreTx, TransactionBatch, transact

NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.binary(max_size=2)),
        st.tuples(st.just("delete"), NAMES, st.none()),
        st.tuples(st.just("get"), NAMES, st.none()),
        st.tuples(st.just("many"), NAMES, st.none()),
        st.tuples(st.just("count"), NAMES, st.integers(1, 7)),
        st.tuples(st.just("select"), NAMES, st.tuples(st.integers(1, 4), st.booleans())),
    ),
    max_size=8,
)
CHANGES = st.lists(st.tuples(STEPS, st.booleans()), max_size=5)  # (steps, whether it raises)


class _Abandoned(Exception):  # noqa: N818  # no error: what a change may raise
    pass


def run_steps(tx: StoreTx, model: dict[str, bytes], steps: list[Any]) -> None:
    """Do the steps to the transaction and to the model, and compare what they say."""
    for step, name, value in steps:
        if step == "put":
            tx.put(SYSTEM, system(name, value))
            model[name] = value
        elif step == "delete":
            tx.delete(SYSTEM, name)
            model.pop(name, None)
        elif step == "get":
            row = tx.get(SYSTEM, name)
            assert (row and row.value) == model.get(name)
        elif step == "many":
            found = tx.get_many(SYSTEM, [(name,), ("a",), ("zz",)])
            assert found == {(n,): system(n, model[n]) for n in {name, "a"} & model.keys()}
        elif step == "count":
            assert tx.count_rows(SYSTEM, value) == min(len(model), value)
        else:
            query = StoreQuery(limit=value[0], descending=value[1], after=(name,))
            rows = [system(n, v) for n, v in model.items()]
            assert tx.select(SYSTEM, query) == apply_query(SYSTEM, query, rows)


@settings(max_examples=150, deadline=None)
@given(st.lists(CHANGES, max_size=3), st.booleans())
def test_agrees_with_a_dictionary(batches: list[Any], cached: bool) -> None:
    """Any changes in any batches, some abandoned midway: each sees and leaves the right rows."""
    backend, cache = MemoryBackend(), RowCache() if cached else None
    stored: dict[str, bytes] = {}
    for changes in batches:
        made: list[TransactionBatch] = []

        def apply(
            session: StoreSession, changes: Any = changes, made: list[TransactionBatch] = made
        ) -> WriteSet:
            nonlocal stored
            batch = TransactionBatch(session, StampGuard(), cache)
            made.append(batch)
            for steps, raises in changes:
                model = dict(stored)

                def change(tx: StoreTx, steps: Any = steps, model: Any = model) -> None:
                    run_steps(tx, model, steps)
                    if raises:  # noqa: B023  # called before the loop goes on
                        raise _Abandoned

                try:
                    batch.run_change(change)
                    stored = model
                except _Abandoned:
                    assert raises
            return batch.write_set()

        backend.write(apply)
        if cache is not None:
            cache.apply_commit(made[0].cacheable_rows())
        with backend.read() as session:
            rows = session.select(SYSTEM, StoreQuery())
            assert {row.name: row.value for row in rows} == stored
            for name in "abcdef":
                known = MISSING if cache is None else cache.lookup(SYSTEM, (name,))
                assert known is MISSING or known == session.get(SYSTEM, (name,))


def batch_over(backend: MemoryBackend, use: Any) -> WriteSet:
    """What `use(batch)` makes a transaction write, without writing it."""
    kept: list[WriteSet] = []

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, StampGuard(), None)
        use(batch)
        kept.append(batch.write_set())
        return WriteSet()

    backend.write(apply)
    return kept[0]


def test_kinds_of_writes() -> None:
    """What was there is updated, what was not is inserted, read before or not."""
    backend = MemoryBackend()
    transact(backend, put(SYSTEM, system("a"), system("b"), system("c"), system("d")))

    def use(batch: TransactionBatch) -> None:
        batch.run_change(lambda tx: tx.get(SYSTEM, "a"))
        batch.run_change(lambda tx: tx.get(SYSTEM, "new"))
        batch.run_change(put(SYSTEM, *(system(n, b"2") for n in ("a", "b", "new", "newer"))))
        batch.run_change(lambda tx: [tx.delete(SYSTEM, n) for n in ("c", "absent")])

    writes = batch_over(backend, use)
    assert [row.name for row in writes.updates[SYSTEM]] == ["a", "b"]
    assert [row.name for row in writes.inserts[SYSTEM]] == ["new", "newer"]
    assert writes.deletes == {SYSTEM: [("c",)]}


def test_counts_of_one_row() -> None:
    """What several changes count of a row is one row to store; of one that raises it is nothing."""
    rows = [AccessRow(secret_id="s", value_reads=n, last_value_read=10 - n) for n in (1, 2, 4)]

    def fail(tx: StoreTx) -> None:
        tx.add_counts(ACCESS, rows)
        raise _Abandoned

    def use(batch: TransactionBatch) -> None:
        batch.run_change(lambda tx: tx.add_counts(ACCESS, rows[:2]))
        with pytest.raises(_Abandoned):
            batch.run_change(fail)
        batch.run_change(lambda tx: tx.add_counts(ACCESS, rows[2:]))
        assert batch.size == 1

    total = AccessRow(secret_id="s", value_reads=7, last_value_read=9)
    assert batch_over(MemoryBackend(), use) == WriteSet(counts={ACCESS: [total]})


def test_a_count_that_no_database_holds() -> None:
    """It is refused as any other row is."""
    with pytest.raises(ValidationError):
        transact(
            MemoryBackend(),
            lambda tx: tx.add_counts(ACCESS, [AccessRow(secret_id="s", value_reads=2**63)]),
        )


def test_guard() -> None:
    """Rows are stamped when they are put, and checked when they come from the database."""
    backend = MemoryBackend()
    transact(backend, put(SECRETS, secret("a")), StampGuard())
    row = transact(backend, lambda tx: tx.get(SECRETS, "a"), StampGuard())
    assert row is not None
    assert row.mac
    backend.write(lambda _: WriteSet(inserts={SECRETS: [secret("bad", mac=b"no")]}))
    for read in (
        lambda tx: tx.get(SECRETS, "bad"),
        lambda tx: tx.get_many(SECRETS, [("bad",)]),
        lambda tx: tx.select(SECRETS, StoreQuery()),
    ):
        with pytest.raises(TamperedError) as caught:
            transact(backend, read, StampGuard())
        assert caught.value.details["key"] == ("bad",)


def test_select_hides_before_it_checks() -> None:
    """A bad row that this transaction deletes or replaces does not stand in its way."""
    backend = MemoryBackend()
    backend.write(lambda _: WriteSet(inserts={SECRETS: [secret("bad", mac=b"no")]}))

    def change(tx: StoreTx) -> list[Any]:
        tx.delete(SECRETS, "bad")
        return tx.select(SECRETS, StoreQuery())

    assert transact(backend, change, StampGuard()) == []


def test_limit_with_hidden_rows() -> None:
    """Rows that are hidden do not eat up the limit."""
    backend = MemoryBackend()
    transact(backend, put(SYSTEM, *(system(f"{i:04}") for i in range(1010))))

    def change(tx: StoreTx) -> list[str]:
        for i in range(8):
            tx.delete(SYSTEM, f"{i:04}")
        return [row.name for row in tx.select(SYSTEM, StoreQuery(limit=1000))]

    assert transact(backend, change) == [f"{i:04}" for i in range(8, 1008)]


def test_query_is_checked() -> None:
    """A transaction asks no more than a reader may."""
    with pytest.raises(ValueError, match="limit"):
        transact(MemoryBackend(), lambda tx: tx.select(SYSTEM, StoreQuery(limit=5000)))


def test_transact_while_sealed() -> None:
    """Without a guard only what is not guarded can be reached."""
    backend = MemoryBackend()
    assert transact(backend, put(SYSTEM, system("a"))) is None
    with pytest.raises(UnavailableError) as caught:
        transact(backend, put(SECRETS, secret("a")))
    assert caught.value.code == "sealed"


@pytest.mark.parametrize("is_read_first", [True, False])
def test_what_a_transaction_exchanges(*, is_read_first: bool) -> None:
    """The stamps that go and that come, whether the rows were read before or not."""
    backend, guard = MemoryBackend(), StampGuard()
    old = {name: secret(name) for name in "abc"}
    transact(backend, put(SECRETS, *old.values()), guard)
    told: list[Any] = []

    def change(tx: StoreTx) -> None:
        if is_read_first:
            tx.get_many(SECRETS, [("a",), ("d",)])
        tx.put(SYSTEM, system("x"))
        tx.put(SECRETS, secret("a", max_versions=3))
        tx.put(SECRETS, secret("d"))
        tx.delete(SECRETS, "b")
        tx.delete(SECRETS, "never there")

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, guard, None)
        batch.run_change(change)
        told.append(batch.mac_changes())
        return batch.write_set()

    backend.write(apply)
    ((gone, come),) = (sides for sides in told[0].values())
    assert list(told[0]) == [SECRETS]
    assert sorted(gone) == sorted(((name,), guard.stamp("secrets", old[name]).mac) for name in "ab")
    new = [secret("a", max_versions=3), secret("d")]
    assert sorted(come) == sorted(((row.name,), guard.stamp("secrets", row).mac) for row in new)
    with backend.read() as session:
        assert {row.name for row in session.select(SECRETS, StoreQuery())} == {"a", "c", "d"}


@pytest.mark.parametrize("known", [False, True])
def test_added_row_that_is_there(known: bool) -> None:
    """It is a contradiction, whether the database or the transaction itself knows of the row."""
    backend = MemoryBackend()
    transact(backend, put(SYSTEM, system("a", b"old")))

    def change(tx: StoreTx) -> None:
        if known:
            assert tx.get(SYSTEM, "a") is not None
        tx.insert_new(SYSTEM, [system("a", b"new")])

    with pytest.raises(ConstraintError):
        transact(backend, change)
    assert transact(backend, lambda tx: tx.get(SYSTEM, "a")) == system("a", b"old")


def test_added_rows_are_seen_by_later_changes() -> None:
    """What one change adds, the next reads, replaces or deletes; and may then add anew."""
    backend = MemoryBackend()

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, StampGuard(), None)
        batch.run_change(lambda tx: tx.insert_new(SYSTEM, [system("a"), system("b"), system("c")]))
        with pytest.raises(ConstraintError):
            batch.run_change(lambda tx: tx.insert_new(SYSTEM, [system("d"), system("a")]))
        batch.run_change(put(SYSTEM, system("b", b"new")))
        batch.run_change(lambda tx: tx.delete(SYSTEM, "c"))
        batch.run_change(lambda tx: tx.insert_new(SYSTEM, [system("c", b"again")]))
        return batch.write_set()

    backend.write(apply)
    rows = transact(backend, lambda tx: tx.select(SYSTEM, StoreQuery()))
    assert rows == [system("a"), system("b", b"new"), system("c", b"again")]


def test_more_rows_are_counted_than_a_query_returns() -> None:
    """Page by page, as far as it is asked for."""
    backend = MemoryBackend()
    names = [f"{number:04}" for number in range(2_500)]
    transact(backend, lambda tx: [tx.put(SYSTEM, system(name)) for name in names])

    def count(tx: StoreTx) -> list[int]:
        tx.delete(SYSTEM, "1200")
        tx.put(SYSTEM, system("1300", b"new"))
        tx.put(SYSTEM, system("new"))
        return [tx.count_rows(SYSTEM, limit) for limit in (1, 1_000, 2_499, 2_500, 9_999)]

    assert transact(backend, count) == [1, 1_000, 2_499, 2_500, 2_500]
