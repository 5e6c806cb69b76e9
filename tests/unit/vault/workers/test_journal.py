"""vault.workers.journal: read in order, or known to be lost."""

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vault.workers.pages import new_page
from vault.workers import page
from vault.workers.journal import (
    LOST,
    Cleared,
    Failed,
    Fence,
    JournalReader,
    JournalWriter,
    Row,
    Settled,
    row_of,
)
from vault.workers.page import Page

SLOT = "secrets/a"
ROW = row_of("policies", ("p",))
PAIR = ("id", "10.0.0.1")


def journal() -> tuple[Page, JournalWriter]:
    """A new one."""
    memory = new_page()
    return memory, JournalWriter(memory)


def test_entries_in_order() -> None:
    """Each entry is read once, as it was written, by each reader."""
    memory, writer = journal()
    readers = [JournalReader(memory), JournalReader(memory)]
    assert not any(reader.is_behind() for reader in readers)
    writer.fence([SLOT, "policies/p"], [ROW])
    writer.settle()
    writer.failed(PAIR, 5)
    writer.cleared(PAIR)
    for reader in readers:
        assert reader.is_behind()
        found = reader.read()
        fence = Fence((SLOT, "policies/p"), (ROW,))
        assert found == [fence, Settled(), Failed(PAIR), Cleared(PAIR)]
        assert not reader.is_behind()
    assert memory.words[page.FAILED_AT] == 5


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=60))
def test_around_the_ring(sizes: list[int]) -> None:
    """A reader that keeps up reads everything, wherever in the ring it lies."""
    memory, writer = journal()
    reader = JournalReader(memory)
    for size in sizes * 3:
        name = "x" * size
        writer.fence([name])
        writer.settle()
        assert reader.read() == [Fence((name,)), Settled()]


def test_overtaken() -> None:
    """A reader that is a ring behind is told so once, and goes on from there."""
    memory, writer = journal()
    reader = JournalReader(memory)
    for _ in range(page.RING // 50_000 + 2):
        writer.fence(["x" * 50_000])
        writer.settle()
    assert reader.read() is LOST
    writer.failed(PAIR, 1)
    assert reader.read() == [Failed(PAIR)]


def test_overtaken_while_it_reads() -> None:
    """Bytes that may be changing are not believed: what is reserved counts, not what is written."""
    memory, writer = journal()
    reader = JournalReader(memory)
    writer.failed(PAIR, 1)
    memory.words[page.RESERVED] = reader.position + page.RING + 1
    assert reader.read() is LOST


def test_joining_in_the_middle_of_a_transaction() -> None:
    """Whoever joins is told of the one under way, and of none that has ended."""
    memory, writer = journal()
    writer.fence([SLOT])
    writer.settle()
    writer.fence([SLOT])
    writer.failed(PAIR, 1)
    late = JournalReader(memory)
    assert late.read() == [Fence((SLOT,)), Failed(PAIR)]
    writer.settle()
    assert late.read() == [Settled()]
    assert not JournalReader(memory).is_behind()


def test_a_large_fence_is_around_everything() -> None:
    """More slots than a part of the ring holds are announced as all there are."""
    memory, writer = journal()
    reader = JournalReader(memory)
    writer.fence(f"{number:0500}" for number in range(1000))
    assert reader.read() == [Fence(None)]


def test_a_fence_that_cannot_be_encoded_is_around_everything() -> None:
    """Who announces is in the midst of a transaction of many: it never fails."""
    memory, writer = journal()
    reader = JournalReader(memory)
    writer.fence(["mounts/a"], [cast("Row", ("mounts", (object(),)))])
    writer.settle()
    assert reader.read() == [Fence(None), Settled()]
