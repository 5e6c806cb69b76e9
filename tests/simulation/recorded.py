"""The egress ledger, from outside: what is on the wire is in it, and in the end it verifies."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.simulation.observing import replaced
from tests.simulation.oracle import broken
from vault.control_link.egress_chain import BadLedgerError
from vault.control_link.egress_ledger import EgressLedger, LedgerTotals, read_entries


class Recorded:
    """Of all agents of a run."""

    def __init__(self) -> None:
        self._frames: dict[str, set[int]] = defaultdict(set)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """What is durable in the ledgers is noted for the length of the block."""
        with replaced(EgressLedger, "_append", self._appending(vars(EgressLedger)["_append"])):
            yield

    def carried(self, agent: str, way: str, frame: bytes) -> None:
        """A watcher of the network."""
        if way == "up" and hash(frame) not in self._frames[agent]:
            broken("recorded", f"{agent} sends what is not on its egress ledger")

    @staticmethod
    def settled(agent: str, path: Path) -> None:
        """Every entry that is kept follows from the one before."""
        tally = LedgerTotals()
        try:
            for entry in read_entries(path):
                tally.add_entry(entry)
        except BadLedgerError as error:
            broken("recorded", f"{agent}: its egress ledger does not verify: {error}")

    def _appending(self, before: Callable[..., None]) -> Callable[..., None]:
        def _append(ledger: Any, sending: Any, contents: Any, now: int) -> None:
            before(ledger, sending, contents, now)
            self._frames[ledger._path.parent.name].update(map(hash, contents))

        return _append
