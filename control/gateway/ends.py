"""The control plane's durable end of one agent's link: outbox and inbox, over the store.

A message's effect and the cursor that says it is applied are one transaction (`services.intake`);
what follows for others in this process is published once that is durable.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from actors import World
from control.model.agents import Health
from control.model.links import Link
from control.services import outbox, replays
from control.services.events import Bus, Event, Topic
from control.services.health import health_of, note_health
from control.services.intake import Arrived, Effect, Intake, Told
from control.services.intake import fresh_id as fresh_id
from control.services.together import in_pieces
from control.services.witness import Witness
from control.store import links
from control.store.joint import Joint
from control.store.rows import Tx
from control.store.store import Store
from protocols.link.delivery import Batch, OutboxState
from protocols.link.messages import Cursor, Message, Registration, ReplayResult
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
        self._epochs: dict[AgentName, int] = {}

    async def begin(self, name: AgentName) -> Link:
        """The agent's link, with its present bundle offered. Raises `UnavailableError`."""
        return await self._store.write(Joint(_begin, Newcomer(name, fresh_id(self._world))))

    async def claim(self, name: AgentName) -> Link | None:
        """The connection of this process counts from now on; the link as it is then.

        Its bundle is offered: what happened before this, and after `begin`, told nobody. None in a
        process that is alone, which needs no such thing.
        """
        if not self._store.lease.shared:
            return None
        link = await self._store.write(Joint(_claim, Newcomer(name, fresh_id(self._world))))
        self._epochs[name] = link.epoch
        self._bus.publish(Event(Topic.OWNER, *name, link.epoch))
        return link

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
        epoch = self._epochs.get(name, 0)
        said = self._intake.registration(name, message, acknowledged, epoch)
        self._bus.publish(*await self._store.write(Joint(self._intake.register, said)))

    async def acknowledge(self, name: AgentName, through: int) -> None:
        """The agent has all up to `through`."""
        if epoch := self._epochs.get(name):
            await self._store.write(partial(_acknowledge_once, name, through, epoch))
        else:
            await self._store.write(Joint(_acknowledge, (*name, through)))

    async def said(
        self, name: AgentName, health: str, sync: str, codes: frozenset[str] | None
    ) -> Health:
        """Note how the agent says it is; the word for it.

        `codes`: what is wrong with it by its `Conditions`; None for one that has no such message.
        """
        said = health_of(name, health, sync, codes, self._world)
        events = await self._store.write(Joint(note_health, said))
        self._bus.publish(*events)
        return said.health

    async def replayed(self, name: AgentName, told: ReplayResult) -> None:
        """Note what the agent found out about a candidate."""
        now = self._world.now()
        await self._store.write(lambda tx: replays.answered(tx, *name, told, now))

    async def _apply(
        self, name: AgentName, stream: bytes, through: int, effect: Effect | Told | None
    ) -> None:
        epoch = self._epochs.get(name, 0)
        arrived = Arrived(name, fresh_id(self._world), stream, through, effect, epoch)
        self._bus.publish(*await self._store.write(Joint(self._intake.apply, arrived)))


class Newcomer(NamedTuple):
    """An agent that has connected, and the stream that it gets if it has none yet."""

    name: AgentName
    fresh: bytes


def _begin(tx: Tx, newcomers: Sequence[Newcomer]) -> Sequence[Link]:
    def begin(tx: Tx, org: str, places: Sequence[int]) -> Sequence[Link]:
        some = {newcomers[place].name.vault: newcomers[place].fresh for place in places}
        found = outbox.ensure_all(tx, org, some)
        offered = {link.vault: link for link, _ in outbox.offer_bundles(tx, org, list(some))}
        return [(found | offered)[vault] for vault in some]

    return in_pieces(tx, [newcomer.name for newcomer in newcomers], begin)


def _claim(tx: Tx, newcomers: Sequence[Newcomer]) -> Sequence[Link]:
    claimed = [replace(link, epoch=link.epoch + 1) for link in _begin(tx, newcomers)]
    links.put_epochs(tx, *claimed)
    return claimed


def _acknowledge_once(name: AgentName, through: int, epoch: int, tx: Tx) -> None:
    link = links.link(tx, *name)
    if link is not None:
        outbox.require(link, epoch)
        links.acknowledge(tx, [(*name, through)])


def _acknowledge(tx: Tx, received: Sequence[tuple[str, str, int]]) -> Sequence[None]:
    links.acknowledge(tx, received)
    return [None] * len(received)


def state(link: Link) -> OutboxState:
    """As a session takes it."""
    return OutboxState(link.stream, link.newest, link.acknowledged)


def cursor(link: Link) -> Cursor:
    """As a session takes it."""
    return Cursor(stream=link.peer, applied=link.applied)
