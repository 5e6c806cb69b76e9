"""Markdown that a command writes: tables, and the block of a page that it owns."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; figures stand as they are given."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill_block(page: Path, block: str, text: str) -> None:
    """Replace what stands between the page's two marks of this name.

    Raises `ValueError` when the page does not have both of them, once and in order.
    """
    begin, end = f"<!-- {block}: written by a command, edits are lost -->", f"<!-- {block} ends -->"
    old = page.read_text()
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise ValueError(f"{page} must hold {begin!r} and then {end!r}, once each")
    before, after = old.partition(begin)[0], old.partition(end)[2]
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
