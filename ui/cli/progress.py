"""A progress bar on stderr for work that takes long, where a person is looking."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from ui.cli.output import print_note

Item = TypeVar("Item")
Advance = Callable[[int], None]

_LINE_SECONDS: Final = 10.0  # between two lines, where nobody is looking
_STEP: Final = 100  # items between two moves of the bar, which cost more than an item


@contextmanager
def progress(
    description: str, total: int | None = None, *, lines: bool = False
) -> Iterator[Advance]:
    """Show a bar for the length of the block; what it yields moves the bar on.

    `total` None: nobody knows how much there is. Where stderr is no terminal nothing is shown, or,
    with `lines`, a line at the first rows, at the last and every 10 s.
    """
    if not sys.stderr.isatty():
        yield _Lines(description, total).advance if lines else _ignore
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


class _Lines:
    """How far it is, a line now and then."""

    def __init__(self, description: str, total: int | None) -> None:
        from actors.world import SystemWorld  # slow to load, and rarely needed

        self._uptime = SystemWorld().uptime
        self._description = description
        self._total = total
        self._done = 0
        self._printed = -math.inf

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = self._uptime()
        if self._done == self._total or now >= self._printed + _LINE_SECONDS:
            self._printed = now
            of = "" if self._total is None else f" of {self._total}"
            print_note(f"{self._description}: {self._done}{of}")


def _ignore(_: int) -> None:
    """Nobody is looking."""
