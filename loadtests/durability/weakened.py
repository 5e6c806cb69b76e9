"""An agent whose commits are not durable, to see that the harness notices. Never product code.

`python -m loadtests.durability.weakened synchronous|fdatasync agent dev …`

`synchronous`: SQLite runs with NORMAL and answers that it is FULL, else the agent would refuse it.
`fdatasync`: the audit log's fdatasync does nothing.
"""

import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

FULL: Final = 2  # what PRAGMA synchronous reads back as


class Forgetful(sqlite3.Connection):
    """A connection that is told FULL, does NORMAL, and says FULL."""

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        """As the base class, but for one pragma."""
        if sql == "PRAGMA synchronous=FULL":
            sql = "PRAGMA synchronous=NORMAL"
        elif sql == "PRAGMA synchronous":
            sql = f"SELECT {FULL}"
        return super().execute(sql, *more)


def forget_synchronous() -> None:
    """Every connection that is opened from now on is weak."""
    sqlite3.connect = partial(sqlite3.connect, factory=Forgetful)  # type: ignore[assignment]


def forget_fdatasync() -> None:
    """Files are synced by SQLite alone from now on."""
    os.fdatasync = lambda _fd: None  # type: ignore[assignment]


WEAKNESSES: Final[dict[str, Callable[[], None]]] = {
    "synchronous": forget_synchronous,
    "fdatasync": forget_fdatasync,
}


def main() -> None:
    """Become the weakened command."""
    from ui.cli.main import main as freehold

    WEAKNESSES[sys.argv.pop(1)]()
    freehold()


if __name__ == "__main__":
    main()
