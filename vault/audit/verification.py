"""Verification of the whole log while the agent serves; opening the agent reads only its end.

`VerificationJob` does it when somebody asks, with its progress; `PeriodicVerification` once a day.
Both use `LogVerifier` as `freehold audit verify` does, in slices with pauses between them.
`make_prover` proves that a record is in the log.
"""

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.proof import Proof, prove_inclusion
from vault.audit.verify import BadLogError, LogVerifier, VerifiedRecord
from vault.errors import NotFoundError, TamperedError

log: Final = logging.getLogger("freehold.audit")

JOB_SLICE_RECORDS: Final = 500  # about 5 ms of a thread
JOB_SLICE_PAUSE: Final = 0.005  # seconds: half a core at most
PERIOD: Final = 86_400.0  # seconds from one reading to the next
PERIODIC_SLICE_RECORDS: Final = 200  # about 2 ms
PERIODIC_SLICE_PAUSE: Final = 0.02  # seconds: a tenth of a core, a million records in two minutes
MAX_ATTEMPTS: Final = 3  # a segment may be closed or let go just then; damage is there each time


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
    """Verifies the log on request, one run at a time. Made by `open_verification`."""

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
        """Verify whenever `start` asks for it, until cancelled."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
            self.state = replace(await self._verify(), ended=self._world.now())

    async def _verify(self) -> VerificationState:
        verifier = LogVerifier(self._layout, self._keys, self._keys.public, self._witness)
        records = verifier.records()
        try:
            while count := await self._world.run_sync(_count_slice, records):
                size = verifier.stored_head.head.size
                self.state = replace(
                    self.state, checked=min(size, self.state.checked + count), size=size
                )
                await self._world.sleep(JOB_SLICE_PAUSE)
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


def _count_slice(records: Iterator[VerifiedRecord]) -> int:
    return sum(1 for _ in islice(records, JOB_SLICE_RECORDS))


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


class PeriodicVerification:
    """Verifies the log once a day. Made by `open_periodic_verification`."""

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
                await self._world.sleep(PERIODIC_SLICE_PAUSE)
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
            await self._world.sleep(PERIODIC_SLICE_PAUSE)


def _verify_slice(records: Iterator[VerifiedRecord], verifier: LogVerifier) -> bool:
    """Check one slice; False once the head of the beginning was met: the rest is being written."""
    last = None
    for last in islice(records, PERIODIC_SLICE_RECORDS):
        if last.record.seq + 1 >= verifier.stored_head.head.size:
            return False
    return last is not None


@asynccontextmanager
async def open_periodic_verification(
    layout: LogLayout, keys: AuditKeys, witness: str, world: World
) -> AsyncIterator[PeriodicVerification]:
    """Verify the log now and once a day for the length of the block.

    `witness`: a checkpoint of an earlier run.
    The log must have its first record when the block begins.
    """
    periodic = PeriodicVerification(layout, keys, witness, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(periodic.run)
        yield periodic
        nursery.cancel_scope.cancel()


def make_prover(log: Path, keys: AuditKeys, world: World) -> Callable[[int], Awaitable[Proof]]:
    """A function that makes an inclusion proof in a thread: it reads and verifies the whole log.

    It raises `NotFoundError` for a record that is not there, `TamperedError` for a damaged log.
    """

    async def proof_of(seq: int) -> Proof:
        try:
            return await world.run_sync(prove_inclusion, log, seq, keys, keys.public)
        except LookupError as error:
            raise NotFoundError("record_not_found", str(error)) from None
        except BadLogError as error:
            raise TamperedError("audit_tampered", f"the audit log is damaged: {error}") from None

    return proof_of
