"""The mark counts every transaction and every row, and is right again after one in doubt."""

import weakref
from pathlib import Path

import pytest

from tests.contract.store.samples import put, remove, secret, user
from tests.unit.vault.seal.anchor.places import KEYRING, KEYS, commit, new_stamp_writer
from vault.audit.shared_tail import BYTES, LastLine, SharedTail, Tail
from vault.barrier import HmacRowGuard
from vault.errors import TamperedError
from vault.model.records import SystemRow
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    CommitStampWriter,
    StampBase,
    stamp_base,
    stamp_damaged_error,
)
from vault.seal.anchor.row_totals import sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.tables import SECRETS, SYSTEM, USERS
from vault.store.transaction import TransactionBatch, transact


def mark_in(backend: MemoryBackend) -> CommitStamp:
    """The mark, whose totals are those of the rows."""
    with backend.read() as session:
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
        assert row is not None
        mark = decode_state(row.value, CommitStamp, KEYS)
        assert stamp_base(mark, KEYS).totals.differing_tables(sum_rows(session, KEYS)) == []
    return mark


def test_every_transaction_is_counted() -> None:
    """With what it makes of the rows, and with the log as it was."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    commit(backend, stamp_writer, put(SECRETS, secret("a"), secret("b")), put(USERS, user("u")))
    stamp_writer.checkpoint, stamp_writer.anchored = "note", True
    assert (stamp_writer.commits, mark_in(backend).checkpoint) == (1, "")
    commit(backend, stamp_writer, put(SECRETS, secret("a", max_versions=3)), remove(SECRETS, "b"))
    mark = mark_in(backend)
    assert (mark.commits, mark.checkpoint, mark.anchored, mark.epoch) == (2, "note", True, 1)
    with stamp_writer.track_epoch(lambda: 7):
        commit(backend, stamp_writer)
        assert (stamp_writer.commits, mark_in(backend).epoch) == (3, 7)


def test_where_others_write_the_log_too() -> None:
    """The mark has the head that was signed last, whoever did, and they are told of each commit."""
    end = SharedTail(memoryview(bytearray(BYTES)), Path("unused"))
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    stamp_writer.checkpoint, stamp_writer.shared_tail = "older", end
    commit(backend, stamp_writer)
    assert (mark_in(backend).checkpoint, end.commits) == ("older", 1)
    end.publish(Tail(1, b"", [], 1, 0, 0, 0, 0, LastLine(), 0, "newest", 0))
    commit(backend, stamp_writer)
    assert (mark_in(backend).checkpoint, end.commits) == ("newest", 2)


def test_the_last_epoch_stays_when_who_knew_it_is_gone() -> None:
    """The mark goes on counting, and keeps nobody alive for it."""

    class Keys:
        epoch = 7

    stamp_writer, keys = new_stamp_writer(), Keys()
    seen = weakref.ref(keys)
    with stamp_writer.track_epoch(lambda held=keys: held.epoch):  # type: ignore[misc]  # a default, so that it is let go
        keys.epoch = 8
    del keys
    assert (seen(), stamp_writer.epoch) == (None, 8)


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_commit_in_doubt_leaves_it_right(*, is_stored: bool) -> None:
    """Whether it was stored or not: the next one counts on from what the database says."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    commit(backend, stamp_writer, put(USERS, user("u")))

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, HmacRowGuard(KEYRING), None)
        batch.run_change(put(USERS, user("v")))
        stamp_writer.stamp(batch)
        return batch.write_set() if is_stored else WriteSet()

    backend.write(apply)  # and nobody is told that it was
    assert stamp_writer.commits == 1
    commit(backend, stamp_writer, put(USERS, user("w")))
    assert mark_in(backend).commits == stamp_writer.commits == (3 if is_stored else 2)


def test_a_marker_goes_on_from_a_row() -> None:
    """As after a start."""
    backend = MemoryBackend()
    commit(backend, new_stamp_writer(), put(USERS, user("u")))
    with backend.read() as session:
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    assert row is not None
    stamp_writer = CommitStampWriter(
        KEYS, base=stamp_base(mark_in(backend), KEYS), written=row.value
    )
    commit(backend, stamp_writer, remove(USERS, "u"))
    assert mark_in(backend).commits == 2


def test_after_an_acceptance_the_row_is_replaced() -> None:
    """By the first commit, whatever it says; not one that another agent has written since."""
    backend, another = MemoryBackend(), new_stamp_writer()
    commit(backend, another, put(USERS, user("u")))
    with backend.read() as session:
        totals = sum_rows(session, KEYS)
    accepted = another.written
    commit(backend, another)
    for row in (accepted, b""):
        late = CommitStampWriter(KEYS, base=StampBase(50, totals), written=b"", replaced=row)
        with pytest.raises(BackendError, match="store_behind"):
            commit(backend, late)
    for row, commits in ((another.written, 51), (None, 61)):
        base = StampBase(commits - 1, totals)
        commit(backend, CommitStampWriter(KEYS, base=base, written=b"", replaced=row))
        assert mark_in(backend).commits == commits


def test_a_mark_that_somebody_changed_ends_all_writing() -> None:
    """While the agent runs nobody else writes the database; whatever did is not built upon."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    commit(backend, stamp_writer)
    transact(backend, put(SYSTEM, SystemRow(name=COMMIT_STAMP_ROW, value=b"{}\n")))
    with pytest.raises(TamperedError, match="storage_mark_damaged"):
        commit(backend, stamp_writer)
    assert stamp_damaged_error("x").code == "storage_mark_damaged"


def test_an_older_mark_ends_all_writing() -> None:
    """It is ours, and who puts it back would have us go on from rows of then."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    commit(backend, stamp_writer, put(USERS, user("u")))
    with backend.read() as session:
        older = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    assert older is not None
    commit(backend, stamp_writer, remove(USERS, "u"))
    transact(backend, put(SYSTEM, older), put(USERS, user("u")))
    with pytest.raises(TamperedError, match="storage_rolled_back"):
        commit(backend, stamp_writer)


def recounted(backend: MemoryBackend, stamp_writer: CommitStampWriter) -> None:
    """As while the agent runs."""
    compare = stamp_writer.begin_recount(HmacRowGuard(KEYRING))
    with backend.read() as session:
        compare(session)


def test_a_recount_finds_what_was_put_back() -> None:
    """An older row, an older mark, both; not what is as it was."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    guard = HmacRowGuard(KEYRING)
    commit(backend, stamp_writer, put(USERS, user("u")))
    with backend.read() as session:
        older, row = session.get(SYSTEM, (COMMIT_STAMP_ROW,)), session.get(USERS, ("u",))
    assert older is not None
    assert row is not None
    recounted(backend, stamp_writer)
    commit(backend, stamp_writer, remove(USERS, "u"))
    recounted(backend, stamp_writer)
    transact(backend, put(USERS, row), guard)
    with pytest.raises(TamperedError, match=r"storage_rows_changed.*: users$"):
        recounted(backend, stamp_writer)
    transact(backend, remove(USERS, "u"))
    recounted(backend, stamp_writer)
    transact(backend, put(SYSTEM, older))
    with pytest.raises(TamperedError, match=r"storage_rows_changed.*: system$"):
        recounted(backend, stamp_writer)


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_recount_after_a_commit_in_doubt(*, is_stored: bool) -> None:
    """Whether it was stored or not, that is no change of somebody else's."""
    backend, stamp_writer = MemoryBackend(), new_stamp_writer()
    commit(backend, stamp_writer, put(USERS, user("u")))

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, HmacRowGuard(KEYRING), None)
        batch.run_change(put(USERS, user("v")))
        stamp_writer.stamp(batch)
        return batch.write_set() if is_stored else WriteSet()

    backend.write(apply)  # and nobody is told that it was
    recounted(backend, stamp_writer)
