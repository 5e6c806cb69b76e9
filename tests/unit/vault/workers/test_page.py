"""vault.workers.page: one memory in several mappings."""

import os

import pytest

from tests.unit.vault.workers.pages import new_page
from vault.audit.shared_tail import BYTES
from vault.store.row_index import MAX_SEGMENTS
from vault.workers import page


def test_two_mappings_are_one_memory() -> None:
    """What is written through one is read through the other, in every part; it begins as zeros."""
    fd = page.create()
    one, two = page.Page(fd), page.Page(fd)
    os.close(fd)
    assert not any(one.words)
    one.words[page.WRITTEN], one.ring[0], one.buckets[1], one.end[2] = 2**63, 7, 9, 11
    assert (two.words[page.WRITTEN], two.ring[0], two.buckets[1], two.end[2]) == (2**63, 7, 9, 11)


def test_parts_do_not_overlap() -> None:
    """The words hold 64 counts of connections; the last byte of each part is its own."""
    one = new_page()
    one.ring[-1] = one.ring[0] = 255
    one.buckets[0] = one.words[page.CONNECTIONS + 64] = 1
    one.end[0] = one.end[BYTES - 1] = 7
    assert (one.ring[-1], one.ring[0], one.buckets[0]) == (255, 255, 1)
    assert (sum(one.words), sum(one.buckets)) == (1, 1)
    assert len(one.end) == BYTES


def test_the_index_of_rows_lies_behind_it() -> None:
    """A worker sees each segment that the leader makes, and what is written in it."""
    one = new_page()
    leader, worker = page.SharedRows(one), page.SharedRows(one)
    assert list(worker.segments) == []
    leader.grow(1000)
    leader.segments[0][999] = 7
    assert [len(segment) for segment in worker.segments] == [1000]
    leader.grow(2000)
    worker.segments[1][0] = 9
    assert (worker.segments[0][999], leader.segments[1][0]) == (7, 9)
    assert not any(one.ring)


def test_the_index_of_an_opening_before_reads_as_empty() -> None:
    """A worker may still look there: its memory is given back, and nothing is cut off."""
    one = new_page()
    old, worker = page.SharedRows(one), page.SharedRows(one)
    old.grow(1000)
    old.segments[0][1] = 7
    assert worker.segments[0][1] == 7
    before = worker.segments[0]
    new = page.SharedRows(one)
    new.clear()
    new.grow(500)
    assert not any(before)
    assert [len(segment) for segment in page.SharedRows(one).segments] == [500]


def test_an_index_has_a_bound() -> None:
    """As many segments as the page has words for, which are not those of connections."""
    shared = page.SharedRows(new_page())
    for _ in range(MAX_SEGMENTS):
        shared.grow(8)
    with pytest.raises(ValueError, match="as many"):
        shared.grow(8)
    assert page.PLACES + 2 * MAX_SEGMENTS <= page.CONNECTIONS
