"""vault.workers.page: one memory in several mappings."""

import os

from tests.unit.vault.workers.pages import new_page
from vault.audit.end import BYTES
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
