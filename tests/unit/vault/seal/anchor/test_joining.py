"""A further process of an agent: it goes on from the first one's database, and from no other."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.store.samples import put, remove, user
from tests.unit.vault.seal.anchor.places import KEYRING, KEYS, commit, new_stamp_writer
from vault.audit.retention import RetentionNotice
from vault.audit.shared_tail import BYTES, LastLine, SharedTail, Tail
from vault.audit.testing import NODE
from vault.barrier import HmacRowGuard
from vault.errors import TamperedError, UnavailableError
from vault.model.records import SystemRow
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    CommitStampWriter,
    StampBase,
    StampTimes,
    stamp_base,
)
from vault.seal.anchor.joining import JoinedDatabase, join_database
from vault.seal.anchor.row_totals import RowTotals
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.change_feed import FeedBehindError
from vault.store.interface import WriteSet
from vault.store.memory import MemoryBackend
from vault.store.row_index import RowIndex, RowIndexBuilder
from vault.store.tables import CHANGES, NODES, SYSTEM, USERS
from vault.store.transaction import transact

GUARD = HmacRowGuard(KEYRING)
NOTICE = RetentionNotice(through=7, first=8, due=9)


def join(backend: MemoryBackend, *, times: StampTimes | None = None) -> JoinedDatabase:
    """One more process."""
    return join_database(backend, GUARD, KEYS, lambda: times or StampTimes(), NODE)


def stamp_in(backend: MemoryBackend) -> CommitStamp:
    """The last one."""
    return decode_state(row_of(backend).value, CommitStamp, KEYS)


def row_of(backend: MemoryBackend) -> SystemRow:
    """Its row."""
    with backend.read() as session:
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    assert row is not None
    return row


def first(**options: Any) -> tuple[MemoryBackend, CommitStampWriter]:
    """The database of a first process that has committed, and what it stamps with."""
    backend = MemoryBackend()
    writer = new_stamp_writer()
    for name, value in options.items():
        setattr(writer, name, value)
    commit(backend, writer, put(USERS, user("ann")))
    return backend, writer


def follow(writer: CommitStampWriter, backend: MemoryBackend, most: int | None = None) -> int:
    """What a process does before it commits; how many pieces that took."""
    with backend.read() as session:
        return len(list(writer.catch_up(session, most=most)))


def test_it_goes_on_from_the_last_commit() -> None:
    """Numbers, totals and the feed's links have no gap, whichever process commits."""
    backend, writer = first()
    second = join(backend).stamp_writer
    assert second.commits == 1
    commit(backend, second, put(USERS, user("bob")))
    follow(writer, backend)
    commit(backend, writer, remove(USERS, "ann"))
    follow(second, backend)
    commit(backend, second, put(USERS, user("eve")))
    assert stamp_in(backend).commits == second.commits == 4
    third = join(backend)
    assert third.stamp_writer.commits == 4
    index = RowIndex(third.rows)
    assert index.matches(USERS, ("ann",), None)
    assert index.matches(USERS, ("eve",), GUARD.stamp("users", user("eve")).mac)


def test_it_repeats_what_the_first_process_says() -> None:
    """Of the anchor, a seal and retention: as it said when this one joined, and as it says now."""
    backend, writer = first(checkpoint="one", anchored=True, sealed_at=5)
    second = join(backend, times=StampTimes(now=100, slewed=101)).stamp_writer
    commit(backend, second)
    said = stamp_in(backend)
    assert (said.checkpoint, said.anchored, said.sealed_at) == ("one", True, 5)
    assert (said.time, said.slewed) == (100, 101)
    follow(writer, backend)
    writer.checkpoint, writer.anchored, writer.sealed_at = "two", False, 0
    commit(backend, writer)
    follow(second, backend)
    commit(backend, second)
    said = stamp_in(backend)
    assert (said.checkpoint, said.anchored, bool(said.sealed_at)) == ("two", False, False)


def test_it_repeats_what_is_announced_of_retention() -> None:
    """Its own clock says nothing of that: an announcement lost would keep the log for ever."""
    backend = MemoryBackend()
    writer = CommitStampWriter(
        KEYS,
        base=StampBase(0, RowTotals()),
        written=b"",
        node=NODE,
        times=lambda: StampTimes(notice=NOTICE),
    )
    commit(backend, writer)
    second = join(backend, times=StampTimes(notice=replace(NOTICE, due=1))).stamp_writer
    commit(backend, second)
    assert stamp_in(backend).notice == NOTICE


def test_it_repeats_nothing_of_another_node() -> None:
    """Whose stamp may be the last: what the database says of its own is in its row then."""
    backend, _ = first(checkpoint="one", anchored=True, sealed_at=5)
    with backend.read() as session:
        base = stamp_base(stamp_in(backend), KEYS)
        assert session.get(NODES, (NODE,)) is None
    other = CommitStampWriter(KEYS, base=base, written=row_of(backend).value, node="another")
    other.checkpoint = "not ours"
    commit(backend, other)
    second = join(backend).stamp_writer
    for _ in range(2):
        commit(backend, second)
        said = stamp_in(backend)
        assert (said.node, said.checkpoint, said.anchored, said.sealed_at) == (NODE, "one", True, 5)
        follow(other, backend)
        commit(backend, other)
        follow(second, backend)


def test_the_newest_head_of_the_log_is_in_its_stamps() -> None:
    """Whichever process has signed it."""
    backend, _ = first(checkpoint="older")
    second = join(backend).stamp_writer
    second.shared_tail = tail = SharedTail(memoryview(bytearray(BYTES)), Path("unused"))
    tail.publish(Tail(1, b"", [], 1, 0, 0, 0, 0, LastLine(), 0, "newest", 0))
    commit(backend, second)
    assert (stamp_in(backend).checkpoint, tail.commits) == ("newest", 2)


@pytest.mark.parametrize(
    "change",
    [
        put(USERS, user("ann", status="disabled")),
        put(USERS, user("eve")),
        remove(USERS, "ann"),
        put(SYSTEM, SystemRow(name="more", value=b"x")),
    ],
    ids=["changed", "added", "removed", "of the one table without MACs"],
)
def test_rows_that_were_changed_are_refused(change: Any) -> None:
    """Behind the agent's back, with the right MACs even."""
    backend, _ = first()
    transact(backend, change, GUARD)
    with pytest.raises(TamperedError) as refused:
        join(backend)
    assert refused.value.code == "storage_rows_changed"


def test_a_row_that_is_searched_for_and_was_edited_is_refused() -> None:
    """Its MAC is in the totals; the columns that it is found by are not."""
    backend, _ = first()
    with backend.read() as session:
        row = session.get(USERS, ("ann",))
    backend.write(lambda _: edited(replace(row, name_key="eve")))
    with pytest.raises(TamperedError) as refused:
        join(backend)
    assert refused.value.code == "storage_rows_changed"


def edited(row: Any) -> Any:
    """What changes a row and nothing else."""
    return WriteSet(updates={USERS: [row]})


def test_an_older_database_is_refused_by_whoever_has_seen_a_newer_one() -> None:
    """All of it is put back while the agent runs: nobody goes on from it."""
    backend, writer = first()
    older = row_of(backend)
    commit(backend, writer, put(SYSTEM, SystemRow(name="more", value=b"x")))
    second = join(backend).stamp_writer
    transact(backend, put(SYSTEM, older))
    transact(backend, remove(SYSTEM, "more"))
    for process in (writer, second):
        with pytest.raises(TamperedError, match="put back"):
            follow(process, backend)
        with pytest.raises(TamperedError, match="put back"):
            commit(backend, process)


def test_an_older_stamp_beside_newer_rows_is_refused() -> None:
    """Its totals are of other rows."""
    backend, writer = first()
    older = row_of(backend)
    commit(backend, writer, put(USERS, user("bob")))
    transact(backend, put(SYSTEM, older), GUARD)
    with pytest.raises(TamperedError) as refused:
        join(backend)
    assert refused.value.code == "storage_rows_changed"


@pytest.mark.parametrize("value", [None, b"", b"{}\n00", b"x"])
def test_a_stamp_that_is_not_ours_is_refused(value: bytes | None) -> None:
    """One that is gone, too: there is no first opening beside others."""
    backend, _ = first()
    change = (
        remove(SYSTEM, COMMIT_STAMP_ROW)
        if value is None
        else put(SYSTEM, SystemRow(name=COMMIT_STAMP_ROW, value=value))
    )
    transact(backend, change)
    with pytest.raises(TamperedError) as refused:
        join(backend)
    assert refused.value.code == "storage_mark_damaged"


def test_an_entry_of_the_feed_that_is_gone_is_missed() -> None:
    """By who joined before it: what it took away may have been a revocation."""
    backend, writer = first()
    second = join(backend).stamp_writer
    for name in ("a", "b"):
        commit(backend, writer, put(USERS, user(name)))
    transact(backend, remove(CHANGES, 2))
    with pytest.raises(TamperedError, match="feed"):
        follow(second, backend)


def test_who_was_away_for_long_reads_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the feed has the entries, be they more than it has to keep."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.ENTRIES_PER_READ", 2)
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.KEPT", 1)
    backend, writer = first()
    second = join(backend).stamp_writer
    for name in ("a", "b", "c", "d", "e"):
        commit(backend, writer, put(USERS, user(name)))
    with pytest.raises(FeedBehindError):
        follow(second, backend, most=4)
    assert follow(second, backend, most=5) == 3
    assert second.position == writer.position
    commit(backend, second, put(USERS, user("f")))


def test_who_was_away_for_too_long_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed does not reach back so far: that alone is no sign of tampering."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.KEPT", 1)
    backend, writer = first()
    second = join(backend).stamp_writer
    for name in ("a", "b", "c"):
        commit(backend, writer, put(USERS, user(name)))
    transact(backend, remove(CHANGES, 2))
    for _ in range(2):
        with pytest.raises(FeedBehindError):
            follow(second, backend)
    rows = RowIndexBuilder()
    with backend.read() as session:
        second.resume(second.count_rows(session, GUARD, rows))
    assert RowIndex(rows).matches(USERS, ("c",), GUARD.stamp("users", user("c")).mac)
    assert second.position == writer.position
    assert follow(second, backend) == 0
    commit(backend, second, put(USERS, user("d")))
    assert stamp_in(backend).commits == 5


def test_an_entry_that_has_to_be_kept_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many commits there were since."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.KEPT", 2)
    backend, writer = first()
    second = join(backend).stamp_writer
    for name in ("a", "b"):
        commit(backend, writer, put(USERS, user(name)))
    transact(backend, remove(CHANGES, 2))
    with pytest.raises(TamperedError, match="feed"):
        follow(second, backend)


def test_an_older_database_is_refused_by_who_counts_anew() -> None:
    """It has rows and totals that fit, and fewer commits than were seen."""
    backend, writer = first()
    older = row_of(backend)
    commit(backend, writer, put(SYSTEM, SystemRow(name="more", value=b"x")))
    second = join(backend).stamp_writer
    transact(backend, put(SYSTEM, older))
    transact(backend, remove(SYSTEM, "more"))
    with backend.read() as session, pytest.raises(TamperedError) as refused:
        second.count_rows(session, GUARD, RowIndexBuilder())
    assert refused.value.code == "storage_rolled_back"


def test_a_count_that_is_stopped() -> None:
    """For a process that is to end: nobody waits for millions of rows."""
    backend, _ = first()
    second = join(backend).stamp_writer
    rows = RowIndexBuilder()
    rows.stop()
    with backend.read() as session, pytest.raises(UnavailableError, match="closed"):
        second.count_rows(session, GUARD, rows)
