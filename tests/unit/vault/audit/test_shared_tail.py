"""The end of a log that several processes write: one at a time, and nobody behind a broken one."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.unit.vault.audit.ends import Ends
from vault.audit.batch import BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.shared_tail import BYTES, LastLine, SharedTail, Tail, WriterLock
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record

KEYS = make_keys()


class Files:
    """What a sink knows of its files."""

    last_line = LastLine(3, b"digest")
    slot = 1


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """Of a log that has a head file."""
    made = Ends(tmp_path / "audit.log")
    made.layout.head_file.touch()
    return made


def make_end(records: int = 3) -> Tail:
    """Of a log with so many records, and its header."""
    position = LogPosition(Chain(KEYS.digest), 0, 0, 0, is_closed=True, checkpoint=0)
    ledger = BatchComposer(KEYS, LOG_ID, position, rotation_bytes=2**30)
    batch = ledger.compose([make_pending_record(number) for number in range(records)], NOW)
    return Tail.from_position(ledger.position, Files(), batch.note, NOW)


def test_one_has_the_turn(ends: Ends) -> None:
    """Another one has it once it was given back, and not before."""
    first, second = ends.view(), ends.view()
    first.acquire()
    assert not second.acquire_nowait()
    assert second.holder == first.holder == (os.getpid(), 1)
    first.release()
    assert second.holder == (0, 1)
    assert second.acquire_nowait()
    assert not first.acquire_nowait()
    assert first.holder == (os.getpid(), 2)
    second.close()
    assert first.acquire_nowait()
    first.close()


@contextmanager
def _holder(head: Path) -> Iterator[int]:
    """A process that has the turn and keeps it."""
    context = get_context("fork")
    ours, theirs = context.Pipe()

    def hold() -> None:
        WriterLock(head).acquire()
        theirs.send("taken")
        signal.pause()

    process = context.Process(target=hold, daemon=True)
    process.start()
    assert ours.recv() == "taken"
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()


def test_who_dies_gives_it_back(ends: Ends) -> None:
    """The kernel does, however he died."""
    turn = ends.view()
    with _holder(ends.layout.head_file) as pid:
        assert not turn.acquire_nowait()
        os.kill(pid, signal.SIGKILL)
        turn.acquire()
    turn.close()


def test_what_one_leaves_the_next_finds(ends: Ends) -> None:
    """All of it, and the chain and the tree go on as in one process."""
    owner, other = ends.view(), ends.view()
    assert (other.is_open, other.is_broken, other.size, other.peek()) == (False, False, 0, None)
    end = make_end()
    owner.publish(end)
    assert (other.is_open, other.is_broken, other.size) == (True, False, end.size)
    assert other.load() == other.peek() == end
    position = other.load().to_position(KEYS.digest)
    assert (position.chain.size, position.chain.head) == (end.size, end.head)
    assert position.chain.tree.root() == make_end().to_position(KEYS.digest).chain.tree.root()
    assert (position.is_closed, position.checkpoint_time) == (False, NOW)


def test_between_begin_and_leave_it_is_broken(ends: Ends) -> None:
    """So who dies there has told so before; the owner shuts it, and opens it again."""
    owner, other = ends.view(), ends.view()
    owner.publish(make_end())
    other.begin_write()
    assert (owner.is_open, owner.is_broken) == (False, True)
    owner.close_to_others()
    assert (other.is_open, other.is_broken) == (False, False)
    owner.publish(make_end(4))
    assert (other.is_open, other.is_broken) == (True, False)


def test_a_look_at_what_is_changing_is_none(ends: Ends) -> None:
    """Half of an end is nobody's; the next one that is left is whole, also after a death there."""
    owner, other = ends.view(), ends.view()
    owner.publish(make_end())
    owner._words[1] |= 1  # dies while it leaves
    assert other.peek() is None
    owner.publish(make_end(5))
    assert other.peek() == make_end(5)


def test_the_largest_fits() -> None:
    """A frontier has at most 64 hashes, and a note a disk sector."""
    end = make_end()
    largest = Tail(
        2**63, end.head, [end.head] * 64, 2**63, 2**63, 2**63, 2**63, 2**63,
        LastLine(2**63, end.head), 1, "x" * 512, 2**63,
    )  # fmt: skip
    shared = SharedTail(memoryview(bytearray(BYTES)), Path("unused"))
    shared.publish(largest)
    assert shared.load() == largest
