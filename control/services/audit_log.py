"""The audit log of people: one hash chain for each organization.

`hash = SHA-256(previous ‖ canonical msgpack of all other fields)`: an edited, dropped or inserted
record breaks the chain behind it. That shows tampering only against a head that was kept outside;
`verify_chain` returns the head for that.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.crypto import sha256
from control.model.names import is_slug, printable
from control.model.operation import Operation
from control.model.people import PLATFORM, Caller
from control.model.records import AuditEvent
from control.services.event_bus import Event, EventBus, Topic
from control.services.signed_heads import is_valid_base
from control.store import audit_records, people
from control.store.audit_records import ALL_EVENTS, EventFilter
from control.store.rows import Tx, to_columns
from control.store.store import Store, StoreReader

GENESIS_HASH: Final = bytes(32)
PAGE: Final = 1000
_encode: Final = msgspec.msgpack.Encoder(order="sorted").encode


class ChainVerification(Struct, frozen=True):
    """`broken_at`: the first record that does not fit, 0 when all do.

    `base`: how many of the oldest records were deleted by rule, up to a signed base.
    """

    size: int
    head: bytes
    broken_at: int
    base: int = 0


class AuditLogReader:
    """Reads and verifies. `key`: the witness' public key, which has signed bases."""

    def __init__(self, store: StoreReader, key: bytes = b"") -> None:
        self._store = store
        self._key = key

    async def newest_events(
        self, org: str, before: int, limit: int, wanted: EventFilter = ALL_EVENTS
    ) -> list[AuditEvent]:
        """Matching events, the newest first, before sequence number `before` unless that is 0."""
        return await self._store.read(
            lambda tx: audit_records.list_newest_events(
                tx, org, before=before, limit=limit, filter_=wanted
            )
        )

    async def events_after(self, org: str, after: int, limit: int) -> list[AuditEvent]:
        """Events in order, behind the sequence number `after`."""
        return await self._store.read(
            lambda tx: audit_records.list_events(tx, org, after=after, limit=limit)
        )

    async def verify_chain(
        self, org: str, known: tuple[int, bytes] = (0, GENESIS_HASH)
    ) -> ChainVerification:
        """Verify the whole chain from its base on, a page at a time.

        `known`: size and hash of a head kept elsewhere. A chain that is shorter, or had another
        hash there, is broken behind the last record that matches.
        """
        base = await self._store.read(lambda tx: audit_records.get_base(tx, org))
        if base is not None and not is_valid_base(base, self._key):
            return ChainVerification(0, GENESIS_HASH, 1)
        size, head = begin = (0, GENESIS_HASH) if base is None else (base.size, base.hash)
        if begin[0] == known[0] and head != known[1]:  # not secret: a public chain
            return ChainVerification(size, head, max(size, 1), begin[0])
        while page := await self._page(org, size):
            for event in page:
                if event.seq != size + 1 or not extends_chain(event, head):
                    return ChainVerification(size, head, size + 1, begin[0])
                size, head = event.seq, event.hash
                if size == known[0] and head != known[1]:  # not secret: a public chain
                    return ChainVerification(size, head, size, begin[0])
        return ChainVerification(size, head, size + 1 if size < known[0] else 0, begin[0])

    async def _page(self, org: str, after: int) -> list[AuditEvent]:
        return await self._store.read(
            lambda tx: audit_records.list_events(tx, org, after=after, limit=PAGE)
        )


class AuditLog(AuditLogReader):
    """Appends events as well."""

    def __init__(self, store: Store, bus: EventBus, world: World, key: bytes = b"") -> None:
        super().__init__(store, key)
        self._writes = store
        self._bus = bus
        self._world = world

    async def record(
        self, op: Operation, caller: Caller | None, phase: str, result: str, code: str = ""
    ) -> None:
        """Append an event, durably.

        Without an existing organization it goes to the platform's chain.
        """
        event = new_audit_event(op, caller, phase, result, code, now=self._world.now())
        placed = await self._writes.write(lambda tx: append_event(tx, event))
        self._bus.publish(Event(Topic.TRAIL, placed.org, placed.target, placed.operation))


def new_audit_event(
    op: Operation, caller: Caller | None, phase: str, result: str, code: str = "", *, now: int
) -> AuditEvent:
    """An event for `append_event`. Its texts are truncated: no record fails for a long path."""
    return AuditEvent(
        org=op.org if is_slug(op.org) else PLATFORM,
        seq=0,
        at=now,
        request_id=op.request_id,
        actor="" if caller is None else caller.actor,
        token="" if caller is None else caller.token,
        ip=op.origin.ip,
        operation=op.name,
        target=printable(op.target),
        phase=phase,
        result=result,
        code=code,
        detail=op.detail,
        previous=GENESIS_HASH,
        hash=GENESIS_HASH,
    )


def append_event(tx: Tx, event: AuditEvent) -> AuditEvent:
    """Append the event; it with its place in the chain of its organization."""
    if people.get_organization(tx, event.org) is None:
        event = replace(event, org=PLATFORM)
    last = audit_records.get_last_event(tx, event.org)
    seq, previous = (1, GENESIS_HASH) if last is None else (last.seq + 1, last.hash)
    placed = replace(event, seq=seq, previous=previous)
    sealed = replace(placed, hash=event_hash(placed))
    audit_records.add_event(tx, sealed)
    return sealed


def event_hash(event: AuditEvent) -> bytes:
    """The hash over the event and all before it."""
    fields: dict[str, Any] = to_columns(event)
    del fields["hash"]
    return sha256(event.previous + _encode(fields))


def extends_chain(event: AuditEvent, head: bytes) -> bool:
    """Whether the event follows `head` and is unchanged."""
    return event.previous == head and event_hash(event) == event.hash  # not secret: a public chain
