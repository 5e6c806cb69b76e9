"""vault.workers.page: memory of which each part is somebody's own."""

import os

from tests.unit.vault.workers.pages import new_page
from vault.workers import page


def test_parts_do_not_touch() -> None:
    """What is written to one is in no other, and every process that maps it sees it."""
    fd = page.create()
    one, other = page.Page(fd), page.Page(fd)
    os.close(fd)
    parts = [one.words, one.head.cast("Q"), one.buckets, one.failures, one.tail.cast("Q")]
    for number, part in enumerate(parts, 1):
        for at in range(len(part)):
            part[at] = number
    seen = [
        other.words, other.head.cast("Q"), other.buckets, other.failures, other.tail.cast("Q")
    ]  # fmt: skip
    assert [set(part) for part in seen] == [{number} for number in range(1, 6)]


def test_it_is_zero_at_first() -> None:
    """So the vault is sealed, nobody holds the head and no bucket was ever used."""
    made = new_page()
    assert made.words[page.OPENING] == 0
    assert not any(made.head)
