"""The control plane's durable end of one agent's link: outbox and inbox, over the store.

A message's effect and the cursor that says it is applied are one transaction (`services.intake`);
what follows for others in this process is published once that is durable.
"""

from msgspec.structs import replace

from actors import World
from control.model.links import Link
from control.services import outbox
from control.services.events import Bus
from control.services.intake import Effect, Events, Intake
from control.services.witness import Witness
from control.store import links
from control.store.rows import Tx
from control.store.store import Store
from protocols.link.delivery import Batch, OutboxState
from protocols.link.messages import Cursor, Message, Registration
from protocols.pki.names import AgentName


class Ends:
    """Of all agents: what is kept of one while it is connected is in its `LiveAgent`."""

    def __init__(
        self, store: Store, bus: Bus, intake: Intake, witness: Witness, world: World
    ) -> None:
        self._store = store
        self._bus = bus
        self._intake = intake
        self._witness = witness
        self._world = world

    async def begin(self, name: AgentName) -> Link:
        """The agent's link, with its present bundle offered. Raises `UnavailableError`."""
        stream = fresh_id(self._world)

        def change(tx: Tx) -> Link:
            link = outbox.ensure(tx, *name, stream)
            offered = outbox.offer_bundles(tx, name.org, [name.vault])
            return offered[0][0] if offered else link

        return await self._store.write(change)

    async def begin_anew(self, name: AgentName) -> None:
        """Begin a new stream: the agent has more of ours than we ever gave."""
        stream = fresh_id(self._world)
        await self._store.write(
            lambda tx: outbox.begin_anew(tx, outbox.ensure(tx, *name, stream), stream)
        )

    async def read(self, name: AgentName, after: int, limit: int) -> Batch:
        """What waits behind `after`."""
        sign = self._witness.sign
        return await self._store.read(
            lambda tx: outbox.read(tx, *name, after=after, limit=limit, sign=sign)
        )

    async def apply(
        self, name: AgentName, stream: bytes, through: int, message: Message | None
    ) -> None:
        """The message's effect and the cursor, both or neither; nothing when it was applied."""
        effect = None if message is None else self._intake.effect(message)
        await self._apply(name, stream, through, effect)

    async def lost(self, name: AgentName, stream: bytes, first: int, last: int) -> None:
        """Move the cursor over what never comes though we had it once, and raise the alarm."""
        await self._apply(name, stream, last, self._intake.lost(first, last))

    async def registered(self, name: AgentName, message: Registration, acknowledged: int) -> None:
        """Note what the agent is, which has acknowledged all of ours up to there."""
        effect = self._intake.registration(message, acknowledged)
        fresh = fresh_id(self._world)
        events = await self._store.write(lambda tx: effect(tx, outbox.ensure(tx, *name, fresh)))
        self._bus.publish(*events)

    async def acknowledge(self, name: AgentName, through: int) -> None:
        """The agent has all up to `through`."""
        await self._store.write(lambda tx: links.acknowledge(tx, *name, through))

    async def _apply(
        self, name: AgentName, stream: bytes, through: int, effect: Effect | None
    ) -> None:
        fresh = fresh_id(self._world)

        def change(tx: Tx) -> Events:
            link = outbox.ensure(tx, *name, fresh)
            if link.peer == stream and through <= link.applied:  # not secret: random ids
                return ()
            links.move_cursor(tx, *name, stream, through)
            moved = replace(link, peer=stream, applied=through)  # an effect may put the row back
            return () if effect is None else effect(tx, moved)

        self._bus.publish(*await self._store.write(change))


def state(link: Link) -> OutboxState:
    """As a session takes it."""
    return OutboxState(link.stream, link.newest, link.acknowledged)


def cursor(link: Link) -> Cursor:
    """As a session takes it."""
    return Cursor(stream=link.peer, applied=link.applied)


def fresh_id(world: World) -> bytes:
    """16 bytes that were never used before; 122 of their bits are random."""
    return bytes.fromhex(world.new_id().replace("-", ""))
