"""vault.workers.page: memory of which each part is somebody's own."""

import os

from tests.unit.vault.workers.pages import new_page
from vault.workers import page


def test_parts_do_not_touch() -> None:
    """What is written to one is in no other, and every process that maps it sees it."""
    fd = page.create()
    one, other = page.Page(fd), page.Page(fd)
    os.close(fd)
    parts = _parts(one)
    for number, part in enumerate(parts, 1):
        for at in range(len(part)):
            part[at] = number
    assert [set(part) for part in _parts(other)] == [{n} for n in range(1, len(parts) + 1)]


def _parts(one: page.Page) -> list[memoryview]:
    head, tail = one.head.cast("Q"), one.tail.cast("Q")
    return [one.words, head, *one.buckets.values(), one.failures, tail]


def test_it_is_zero_at_first() -> None:
    """So the vault is sealed, nobody holds the head and no bucket was ever used."""
    made = new_page()
    assert made.words[page.OPENING] == 0
    assert not any(made.head)
