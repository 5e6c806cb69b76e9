"""What people did, one hash chain for each organization.

`hash = SHA-256(previous ‖ canonical msgpack of all other fields)`: who edits, drops or inserts a
record breaks the chain behind it. It shows tampering only against a head that somebody kept
outside; `verify` returns the head for that.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.crypto import sha256
from control.model.names import is_slug, legible
from control.model.operation import Operation
from control.model.people import PLATFORM, Caller
from control.model.records import AuditEvent
from control.services.events import Bus, Event, Topic
from control.services.heads import is_base
from control.store import bases, people, records
from control.store.records import ALL, Wanted
from control.store.rows import Tx, plain
from control.store.store import Store, StoreReader

START: Final = bytes(32)
PAGE: Final = 1000
_encode: Final = msgspec.msgpack.Encoder(order="sorted").encode


class Verdict(Struct, frozen=True):
    """`broken_at`: the first record that does not fit, 0 when all do.

    `base`: how many of the oldest records were deleted by rule, up to a signed base.
    """

    size: int
    head: bytes
    broken_at: int
    base: int = 0


class TrailReader:
    """Pages, verifies. `key`: whose bases count, the witness' public one."""

    def __init__(self, store: StoreReader, key: bytes = b"") -> None:
        self._store = store
        self._key = key

    async def newest(
        self, org: str, before: int, limit: int, wanted: Wanted = ALL
    ) -> list[AuditEvent]:
        """The newest that fit first, before the sequence number `before` unless that is 0."""
        return await self._store.read(
            lambda tx: records.newest_events(tx, org, before=before, limit=limit, wanted=wanted)
        )

    async def onward(self, org: str, after: int, limit: int) -> list[AuditEvent]:
        """In order, beginning behind the sequence number `after`."""
        return await self._store.read(lambda tx: records.events(tx, org, after=after, limit=limit))

    async def verify(self, org: str, known: tuple[int, bytes] = (0, START)) -> Verdict:
        """Go through the whole chain from its base on, a page at a time.

        `known`: a size and hash from elsewhere, which the chain has to have been at; one that is
        shorter, or was otherwise there, is broken behind the last record that may be believed.
        """
        base = await self._store.read(lambda tx: bases.base(tx, org))
        if base is not None and not is_base(base, self._key):
            return Verdict(0, START, 1)
        size, head = begin = (0, START) if base is None else (base.size, base.hash)
        if begin[0] == known[0] and head != known[1]:  # not secret: a public chain
            return Verdict(size, head, max(size, 1), begin[0])
        while page := await self._page(org, size):
            for event in page:
                if event.seq != size + 1 or not fits(event, head):
                    return Verdict(size, head, size + 1, begin[0])
                size, head = event.seq, event.hash
                if size == known[0] and head != known[1]:  # not secret: a public chain
                    return Verdict(size, head, size, begin[0])
        return Verdict(size, head, size + 1 if size < known[0] else 0, begin[0])

    async def _page(self, org: str, after: int) -> list[AuditEvent]:
        return await self._store.read(lambda tx: records.events(tx, org, after=after, limit=PAGE))


class Trail(TrailReader):
    """Appends, too."""

    def __init__(self, store: Store, bus: Bus, world: World, key: bytes = b"") -> None:
        super().__init__(store, key)
        self._writes = store
        self._bus = bus
        self._world = world

    async def record(
        self, op: Operation, caller: Caller | None, phase: str, result: str, code: str = ""
    ) -> None:
        """Append, durably. What concerns no existing organization goes to the platform's chain."""
        event = event_of(op, caller, phase, result, code, now=self._world.now())
        placed = await self._writes.write(lambda tx: append(tx, event))
        self._bus.publish(Event(Topic.TRAIL, placed.org, placed.target, placed.operation))


def event_of(
    op: Operation, caller: Caller | None, phase: str, result: str, code: str = "", *, now: int
) -> AuditEvent:
    """For `append`, which finds its place. Callers choose paths: no record fails for one."""
    return AuditEvent(
        org=op.org if is_slug(op.org) else PLATFORM,
        seq=0,
        at=now,
        request_id=op.request_id,
        actor="" if caller is None else caller.actor,
        token="" if caller is None else caller.token,
        ip=op.origin.ip,
        operation=op.name,
        target=legible(op.target),
        phase=phase,
        result=result,
        code=code,
        detail=op.detail,
        previous=START,
        hash=START,
    )


def append(tx: Tx, event: AuditEvent) -> AuditEvent:
    """The event with its place in the chain of its organization."""
    if people.organization(tx, event.org) is None:
        event = replace(event, org=PLATFORM)
    last = records.last_event(tx, event.org)
    seq, previous = (1, START) if last is None else (last.seq + 1, last.hash)
    placed = replace(event, seq=seq, previous=previous)
    sealed = replace(placed, hash=hash_of(placed))
    records.add_event(tx, sealed)
    return sealed


def hash_of(event: AuditEvent) -> bytes:
    """What commits to the event and all before it."""
    fields: dict[str, Any] = plain(event)
    del fields["hash"]
    return sha256(event.previous + _encode(fields))


def fits(event: AuditEvent, head: bytes) -> bool:
    """Whether the event follows `head` and is as it was written."""
    return event.previous == head and hash_of(event) == event.hash  # not secret: a public chain
