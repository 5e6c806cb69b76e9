"""Reading the whole log through while the agent serves: a start reads its end only.

A slice at a time with rests in between, so that a long log takes minutes and not the agent's time.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import trio

from actors import World
from vault.audit.errors import BadLogError
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.verify import LogVerifier, VerifiedRecord

log: Final = logging.getLogger("freehold.audit")
SLICE_RECORDS: Final = 200  # records, about 2 ms
SLICE_PAUSE: Final = (
    0.02  # seconds between slices: a tenth of a core, a million records in two minutes
)
PERIOD: Final = 86_400.0  # seconds from one reading to the next
MAX_ATTEMPTS: Final = 3  # a segment may be closed or let go just then; damage is there each time


class PeriodicVerification:
    """Made by `open_periodic_verification`."""

    def __init__(self, layout: LogLayout, keys: AuditKeys, witness: str, world: World) -> None:
        self._layout = layout
        self._keys = keys
        self._witness = witness
        self._world = world
        self.damage = ""
        """What the last reading found wrong, and where; empty when it is well or not read yet."""
        self.completed = 0
        """How often the log was read to its end, or to what is wrong with it."""

    async def run(self) -> None:
        """Read now, and then once a day, until cancelled."""
        while True:
            await self.verify_once()
            await self._world.sleep(PERIOD)

    async def verify_once(self) -> None:
        """Read the log through once."""
        found = ""
        for _ in range(MAX_ATTEMPTS):
            try:
                await self._verify()
            except (BadLogError, OSError) as error:
                found = str(error)
                await self._world.sleep(SLICE_PAUSE)
            else:
                found = ""
                break
        if found and found != self.damage:
            log.error("the audit log is damaged: %s", found)
        self.damage = found
        self.completed += 1

    async def _verify(self) -> None:
        verifier = LogVerifier(self._layout, self._keys, self._keys.public, self._witness)
        records = verifier.records()
        while await self._world.run_sync(_verify_slice, records, verifier):
            await self._world.sleep(SLICE_PAUSE)


def _verify_slice(records: Iterator[VerifiedRecord], verifier: LogVerifier) -> bool:
    """Check one slice; False once the head of the beginning was met: the rest is being written."""
    last = None
    for last in islice(records, SLICE_RECORDS):
        if last.record.seq + 1 >= verifier.stored_head.head.size:
            return False
    return last is not None


@asynccontextmanager
async def open_periodic_verification(
    layout: LogLayout, keys: AuditKeys, witness: str, world: World
) -> AsyncIterator[PeriodicVerification]:
    """Look through the log for the length of the block. `witness`: a checkpoint of an earlier run.

    The log must have its first record when the block begins.
    """
    inspection = PeriodicVerification(layout, keys, witness, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inspection.run)
        yield inspection
        nursery.cancel_scope.cancel()
