"""The whole log checked while the agent serves, because somebody asked: one reading at a time.

As `freehold audit verify` does it, in slices with short rests, so that it shows how far it is.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, Literal

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from vault.audit.errors import BadLogError
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.verify import LogVerifier, VerifiedRecord

SLICE_RECORDS: Final = 500  # records, about 5 ms of a thread
SLICE_PAUSE: Final = 0.005  # seconds: half a core at most


class VerificationState(Struct, frozen=True, kw_only=True):
    """How far it is, or what it found. Instants in Unix ns, 0: not yet.

    `whole`: `size` records of which those from `first` on are here, under `root` (hex), signed by
    `public_key` (base64). `damaged`: `fault` says which record is the first bad one, and why.
    """

    state: Literal["never", "running", "whole", "damaged", "failed"] = "never"
    checked: int = 0
    size: int = 0
    first: int = 0
    segments: int = 0
    root: str = ""
    public_key: str = ""
    fault: str = ""
    began: int = 0
    ended: int = 0


class VerificationJob:
    """Made by `open_verification`."""

    def __init__(self, layout: LogLayout, keys: AuditKeys, witness: str, world: World) -> None:
        self._layout = layout
        self._keys = keys
        self._witness = witness
        self._world = world
        self._requested = trio.Event()
        self.state = VerificationState()

    def start(self) -> VerificationState:
        """Begin, unless one is under way."""
        if self.state.state != "running":
            self.state = VerificationState(state="running", began=self._world.now())
            self._requested.set()
        return self.state

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
            self.state = replace(await self._verify(), ended=self._world.now())

    async def _verify(self) -> VerificationState:
        verifier = LogVerifier(self._layout, self._keys, self._keys.public, self._witness)
        records = verifier.records()
        try:
            while count := await self._world.run_sync(_verify_slice, records):
                size = verifier.stored_head.head.size
                self.state = replace(
                    self.state, checked=min(size, self.state.checked + count), size=size
                )
                await self._world.sleep(SLICE_PAUSE)
        except BadLogError as error:
            return replace(self.state, state="damaged", fault=str(error))
        except OSError as error:
            return replace(self.state, state="failed", fault=error.strerror or "cannot be read")
        found = verifier.verdict()
        return replace(
            self.state,
            state="whole",
            size=found.size,
            first=found.first,
            segments=found.segments,
            root=found.root,
            public_key=b64encode(found.public).decode(),
        )


def _verify_slice(records: Iterator[VerifiedRecord]) -> int:
    return sum(1 for _ in islice(records, SLICE_RECORDS))


@asynccontextmanager
async def open_verification(
    layout: LogLayout, keys: AuditKeys, witness: str, world: World
) -> AsyncIterator[VerificationJob]:
    """For the length of the block. `witness`: a checkpoint of an earlier run."""
    verification = VerificationJob(layout, keys, witness, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(verification.run)
        yield verification
        nursery.cancel_scope.cancel()
