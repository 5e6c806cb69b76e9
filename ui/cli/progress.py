"""A progress bar on stderr for work that takes long, where a person is looking."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

Item = TypeVar("Item")
Advance = Callable[[int], None]

_STEP: Final = 100  # items between two moves of the bar, which cost more than an item


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar for the length of the block; what it yields moves the bar on.

    `total` None: nobody knows how much there is. Nothing is shown unless stderr is a terminal.
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def counted(items: Iterable[Item], description: str) -> Iterator[Item]:
    """The items, while their number is shown."""
    with progress(description) as advance:
        for count, item in enumerate(items, 1):
            yield item
            if count % _STEP == 0:
                advance(_STEP)


def _ignore(_: int) -> None:
    """Nobody is looking."""
