"""An agent with faults that a test orders. Never product code.

`python -m loadtests.consistency.faulty agent serve …`

FREEHOLD_TEST_FAULTS names a folder. The process that commits next takes the file `order` from there
and does what it says, at a place in its transaction. What came of the commit if the process was
only stopped is in the file `outcome`. While there is a file `blind`, requests do not look for what
others have committed: the checker has to notice. The file `delay` has the seconds that a query of
the change feed waits, and the share of them that do: of a file, whose queries take no network.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, get_args

from vault.store.committer import Committer
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.sql import SqlBackend
from vault.store.store import Store

FAULTS: Final = "FREEHOLD_TEST_FAULTS"
ORDER: Final = "order"
BLIND: Final = "blind"
DELAY: Final = "delay"
_TAKEN: Final = "taken"
OUTCOME: Final = "outcome"
Signal = Literal["kill", "stop"]
Place = Literal["begin", "changed", "written", "committed"]
"""The head is held: before the changes, after them, before COMMIT; and after COMMIT, unanswered."""
PLACES: Final[tuple[Place, ...]] = get_args(Place)
_SOON: Final = 0.05  # seconds; the signal comes to any thread, a moment later
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def order_fault(folder: Path, what: Signal, place: Place) -> None:
    """The next process that commits takes it."""
    draft = folder / "draft"
    draft.write_text(f"{what} {place}")
    draft.rename(folder / ORDER)


def order_delay(folder: Path, seconds: float, share: float) -> None:
    """Queries of the change feed wait from now on."""
    draft = folder / "draft-delay"
    draft.write_text(f"{seconds} {share}")
    draft.rename(folder / DELAY)


def obey(folder: Path) -> None:
    """Take orders at each look and each transaction."""
    _blind(folder / BLIND)
    _delay_feed(folder / DELAY)
    run_transaction = SqlBackend._write_transaction  # noqa: SLF001  # the place of the fault
    flush = SqlBackend._run_changes  # noqa: SLF001  # the same

    def write(self: SqlBackend, apply: Callable[[StoreSession], WriteSet]) -> None:
        place = _take(folder)
        if place is None:
            run_transaction(self, apply)
            return

        def changed(session: StoreSession) -> WriteSet:
            if place.at == "begin":
                place.strike()
            writes = apply(session)
            if place.at == "changed":
                place.strike()
            return writes

        def run_changes(
            writer: object, apply: Callable[[StoreSession], WriteSet], backend: SqlBackend = self
        ) -> None:
            flush(backend, writer, apply)  # type: ignore[arg-type]
            if place.at == "written":
                place.strike()

        self._run_changes = run_changes  # type: ignore[method-assign, assignment]
        try:
            run_transaction(self, changed)
            place.note("committed")
        except BackendError as error:
            place.note(f"refused: {error.code}, outcome {error.details['outcome']}: {error}")
            raise
        finally:
            del self._run_changes
        if place.at == "committed":
            place.strike()

    SqlBackend._write_transaction = write  # type: ignore[method-assign]  # noqa: SLF001


def _blind(order: Path) -> None:
    look = Store.catch_up

    async def catch_up(self: Store) -> None:
        if not os.path.exists(order):  # noqa: ASYNC240, PTH110  # a test's own file, in memory
            await look(self)

    Store.catch_up = catch_up  # type: ignore[method-assign]


def _delay_feed(order: Path) -> None:
    apply_feed = Committer._apply_feed  # noqa: SLF001  # the place of the delay

    def apply_late(self: Committer, session: StoreSession, *, most: int | None = None) -> None:
        _wait(order)
        apply_feed(self, session, most=most)

    Committer._apply_feed = apply_late  # type: ignore[method-assign]  # noqa: SLF001


def _wait(order: Path) -> None:
    if order.exists():
        seconds, share = map(float, order.read_text().split())
        if random.random() < share:  # noqa: S311  # chance of a test
            time.sleep(seconds)


class _Strike:
    def __init__(self, folder: Path, order: str) -> None:
        self._folder = folder
        what, _, self.at = order.partition(" ")
        self._signal = _SIGNALS[what]

    def strike(self) -> None:
        (self._folder / "pid").write_text(str(os.getpid()))
        os.kill(os.getpid(), self._signal)
        time.sleep(_SOON)

    def note(self, text: str) -> None:
        (self._folder / OUTCOME).write_text(text)


def _take(folder: Path) -> _Strike | None:
    taken = folder / _TAKEN
    try:
        (folder / ORDER).rename(taken)
    except FileNotFoundError:
        return None
    order = taken.read_text()
    return _Strike(folder, order)


def main() -> None:
    """Become the command."""
    from ui.cli.main import main as freehold

    obey(Path(os.environ[FAULTS]))
    freehold()


if __name__ == "__main__":
    main()
