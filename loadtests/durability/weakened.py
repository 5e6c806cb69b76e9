"""An agent whose word is not durable, to see that the harness notices. Never product code.

`python -m loadtests.durability.weakened synchronous|fdatasync|early agent dev …`

`synchronous`: SQLite runs with NORMAL and answers that it is FULL, else the agent would refuse it.
`fdatasync`: the audit log's fdatasync does nothing.
`early`: a read is answered half a second before its record is made.
"""

import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from vault.audit.broker import AuditBroker
from vault.audit.record import AuditEvent

EARLY: Final = 0.5  # seconds
FULL: Final = 2  # what PRAGMA synchronous reads back as


class UnsyncedConnection(sqlite3.Connection):
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
    sqlite3.connect = partial(sqlite3.connect, factory=UnsyncedConnection)  # type: ignore[assignment]


def forget_fdatasync() -> None:
    """Files are synced by SQLite alone from now on."""
    os.fdatasync = lambda _fd: None  # type: ignore[assignment]


def forget_reads() -> None:
    """The audit log hears of a read when its client has the value already."""
    record = AuditBroker.record

    async def later(broker: AuditBroker, event: AuditEvent) -> None:
        await trio.sleep(EARLY)
        await record(broker, event)

    async def early(self: AuditBroker, event: AuditEvent) -> None:
        if event.operation == "secret.read":
            trio.lowlevel.spawn_system_task(later, self, event)
        else:
            await record(self, event)

    AuditBroker.record = early  # type: ignore[method-assign]


WEAKNESSES: Final[dict[str, Callable[[], None]]] = {
    "synchronous": forget_synchronous,
    "fdatasync": forget_fdatasync,
    "early": forget_reads,
}


def main() -> None:
    """Become the weakened command."""
    from ui.cli.main import main as freehold

    WEAKNESSES[sys.argv.pop(1)]()
    freehold()


if __name__ == "__main__":
    main()
