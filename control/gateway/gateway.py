"""The gateway: admits agents, runs each connection, and brings what is new to who is connected.

Fan-out is state: who has a bundle that it was not offered is found in the store, in chunks, one
transaction for a chunk. An event only says when to look; losing one costs time, nothing else.
"""

import logging
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NoReturn

import trio

from actors import World
from control.ca.revocation import Revocation
from control.errors import AuthorizationError, ControlError
from control.gateway.agent import Around, LiveAgent
from control.gateway.alarms import Alarms
from control.gateway.audience import Audience, Nobody
from control.gateway.deadlines import Deadlines
from control.gateway.ends import Ends, cursor, fresh_id, state
from control.gateway.proving import proves
from control.gateway.questions import Questions
from control.gateway.roster import Roster, Seat
from control.model.agents import Life
from control.services import outbox
from control.services.alerts import Alerts
from control.services.events import Bus, Event, Topic
from control.services.presence import Watch
from control.store import agents, links
from control.store.ledger import revoked_serials
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import where
from protocols.link.delivery import Batch
from protocols.link.ends import End
from protocols.link.errors import OutboxRolledBackError, PipeError, RemoteFaultError
from protocols.link.handshake import Channel
from protocols.link.limits import DEAD_SECONDS
from protocols.link.pipe import REFUSED, Pipe
from protocols.link.signing import Signer, Verifier, sha256
from protocols.link.vocabulary import ByeReason
from protocols.pki.chain import Agent as Peer
from protocols.pki.names import AgentName

CHUNK: Final = 250
"""Agents of one fan-out transaction; it holds the writer for some 10 ms."""
LOOK_EVERY: Final = 15.0
"""Seconds; how long what an event would have told may wait, if one was lost unnoticed."""
BLIND_EVERY: Final = 2.0
"""The same while other processes are not heard: a lock made there then takes as long here."""
RETURNS_A_SECOND: Final = 500
"""How many agents we ask to come back in a second when we end."""

log: Final = logging.getLogger("freehold.control.gateway")


class Gateway:
    """One of a process. `attend` is the task of a connection, `run` is the gateway's own."""

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        watch: Watch,
        revocation: Revocation,
        ends: Ends,
        signer: Signer,
        world: World,
        dead: float = DEAD_SECONDS,
        audience: Audience | None = None,
    ) -> None:
        """`dead`: seconds of silence after which a connection is over."""
        self._store = store
        self._bus = bus
        self._watch = watch
        self._revocation = revocation
        self._ends = ends
        self._signer = signer
        self._world = world
        self._dead = dead
        self._audience = audience or Nobody()
        self.deadlines = Deadlines(world, dead)
        self._around = Around(ends, watch, world, self._opened, self._audience, self.deadlines)
        self._alarms = Alarms(Alerts(store, bus, world), world)
        self._closing = False
        self.roster = Roster()
        self.questions = Questions(store, world)
        self.faults = 0
        """Connections that ended by a fault of the agent."""
        self.refused = 0
        """Connections of agents that do not count."""

    async def attend(self, pipe: Pipe, peer: Peer, ours: bytes) -> None:
        """Serve one connection until it is over. Raises `PipeError`.

        `peer` is what TLS has proven, `ours` SHA-256 over the certificate that we showed.
        """
        try:
            with self.roster.seat(peer.name) as seat:
                await self._attend(pipe, peer, ours, seat)
        except AuthorizationError as error:
            self.refused += 1
            log.warning("agent %s/%s refused: %s", *peer.name, error.code)
            await pipe.aclose(REFUSED)
        except RemoteFaultError as error:
            self.faults += 1
            log.warning("agent %s/%s broke the protocol: %s", *peer.name, error.fault)
            await pipe.aclose(str(error.fault))
            await self._alarm(peer.name, self._alarms.fault(peer.name, error.fault))
        except OutboxRolledBackError:
            log.error("agent %s/%s has more of us than we gave: begun anew", *peer.name)  # noqa: TRY400
            await pipe.aclose()
            await self._alarm(peer.name, self._alarms.ahead(peer.name))
        except ControlError as error:
            log.error("agent %s/%s disconnected: %s", *peer.name, error.code)  # noqa: TRY400
            await pipe.aclose()

    async def run(self) -> None:
        """Bring what is new, and cut who no longer counts, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_lives)
            nursery.start_soon(self._follow_changes)
            nursery.start_soon(self._look_around)
            nursery.start_soon(self.deadlines.run)

    def leave(self) -> None:
        """Tell every agent that we end, and over how long to spread their return."""
        self._closing = True
        everybody = self.roster.all()
        spread = 1000 + 1000 * len(everybody) // RETURNS_A_SECOND
        for agent in everybody:
            agent.leave(ByeReason.RESTART, spread)

    async def _alarm(self, name: AgentName, raising: Awaitable[None]) -> None:
        try:
            await raising
        except ControlError as error:
            log.error("no alert about %s/%s: %s", *name, error.code)  # noqa: TRY400

    # --- one connection ---------------------------------------------------------------------------

    async def _attend(self, pipe: Pipe, peer: Peer, ours: bytes, seat: Seat) -> None:
        known, outdated = await self._revocation.admit(peer)
        # Admission confirms what it is shown, unless that is outdated: then it is older than this.
        seat.generation = 0 if outdated else known.confirmed
        link = await self._ends.begin(peer.name)
        channel = Channel(
            org=peer.name.org,
            vault=peer.name.vault,
            agent_certificate=sha256(pipe.peer_certificate),
            control_certificate=ours,
        )
        end = End(
            channel=channel,
            signer=self._signer,
            verifier=Verifier([known.link_key]),
            nonce=fresh_id(self._world),
            outbox=state(link),
            cursor=cursor(link),
            dead=self._dead,
        )
        if outdated:
            await self._meet_outdated(pipe, peer, end)
        agent = LiveAgent(peer, pipe, link, end, self._around)
        try:
            await agent.run()
        finally:
            self.roster.remove(agent)
            self._audience.unlinked(*agent.name, agent)

    async def _meet_outdated(self, pipe: Pipe, peer: Peer, end: End) -> NoReturn:
        """An older certificate than the agent was seen with: a copy, or a handshake from before.

        Raises `AuthorizationError`; the agent is locked if the peer has its link key.
        """
        if await proves(pipe, end, self._world):
            await self._revocation.convict(peer)
        raise AuthorizationError("certificate_outdated", "its agent was seen with a newer one")

    def _opened(self, agent: LiveAgent) -> None:
        self._watch.heard(*agent.name)
        if self._closing:
            agent.leave(ByeReason.RESTART, 1000)
            return
        self.roster.promote(agent)
        self._audience.linked(*agent.name, agent)

    # --- what is new ------------------------------------------------------------------------------

    async def _follow_lives(self) -> None:
        with self._bus.subscribed(Topic.LIFE, Topic.OWNER) as lives:
            while True:
                events, lost = await lives.take()
                for event in events:
                    if event.topic is Topic.OWNER:
                        self._outdo(event)
                    elif event.subject != str(Life.ACTIVE):
                        self.roster.cut(AgentName(event.org, event.vault), event.generation)
                if lost:
                    await self.check_lives()

    async def _follow_changes(self) -> None:
        with self._bus.subscribed(Topic.POLICY, Topic.OUTBOX, Topic.REPLAY) as changes:
            while True:
                events, lost = await changes.take()
                await self._bring(events)
                if lost:
                    await self.bring_all()

    def _outdo(self, event: Event) -> None:
        agent = self.roster.get(event.org, event.vault)
        if agent is not None and isinstance(event.subject, int):
            agent.outdo(event.subject)

    async def _bring(self, events: Sequence[Event]) -> None:
        due, questioned = [], []
        for event in events:
            agent = self.roster.get(event.org, event.vault)
            if agent is None:
                continue
            if event.topic is Topic.REPLAY:
                questioned.append(agent)
            if not isinstance(event.subject, int):
                continue
            if event.topic is Topic.OUTBOX:
                agent.poke(event.subject)
            elif event.subject > agent.bundle:
                due.append(agent)
        await self.bring_bundles(due)
        await self.questions.bring(questioned)

    async def bring_bundles(self, due: Iterable[LiveAgent]) -> None:
        """Offer these agents the bundles that they were not offered yet."""
        named = {agent.name: agent for agent in due}
        for org, names in groupby(sorted(named), key=lambda name: name.org):
            vaults = [name.vault for name in names]
            for start in range(0, len(vaults), CHUNK):
                await self._bring_some(org, vaults[start : start + CHUNK], named)

    async def _bring_some(
        self, org: str, vaults: list[str], named: dict[AgentName, LiveAgent]
    ) -> None:
        try:
            found = await self._store.write(partial(_offer, org, vaults))
        except ControlError as error:
            log.warning("fan-out waits for the database: %s", error.code)
            return  # `_look_around` finds them again
        for link, row in found:
            agent = named[AgentName(org, link.vault)]
            agent.bundle = link.bundle
            entry = outbox.bundle_entry(link, row)
            agent.poke(link.newest, Batch(link.newest - 1, link.newest, (entry,)))

    async def _look_around(self) -> None:
        looked = self._world.monotonic()
        while True:
            await self._world.sleep(BLIND_EVERY)
            now = self._world.monotonic()
            if not self._bus.whole() or now - looked >= LOOK_EVERY:
                looked = now
                await self.check_lives()
                await self.bring_all()

    async def bring_all(self) -> None:
        """Bring to everybody what the store has for him, whoever has put it there."""
        await self.bring_bundles(self.roster.all())
        await self.questions.bring(self.roster.all())
        for org, agents_ in groupby(sorted(self.roster.all(), key=_org), key=_org):
            linked = list(agents_)
            for start in range(0, len(linked), CHUNK):
                await self._compare(org, linked[start : start + CHUNK])

    async def _compare(self, org: str, linked: Sequence[LiveAgent]) -> None:
        """Commands that wait, and connections that count at another process."""
        named = {agent.name.vault: agent for agent in linked}
        try:
            found = await self._store.read(partial(_standing, org, list(named)))
        except ControlError as error:
            log.warning("the database does not answer: %s", error.code)
            return
        for vault, newest, epoch in found:
            named[vault].outdo(epoch)
            named[vault].remind(newest)

    async def check_lives(self) -> None:
        """Cut who no longer counts by the store's word, whoever has changed it.

        That is who is not active, and who came by a certificate that was revoked since: he was
        replaced under his name.
        """
        now = self._world.wall()
        try:
            active, revoked = await self._store.read(partial(_counting, now))
        except ControlError as error:
            log.warning("the database does not answer: %s", error.code)
            return
        for agent in self.roster.all():
            known = tuple(agent.name) in active
            if not known:  # it may have been locked between its admission and its first word
                self._watch.forget(*agent.name)
            if not known or agent.serial in revoked:
                self.roster.cut(agent.name)


def _org(agent: LiveAgent) -> str:
    return agent.name.org


def _standing(org: str, vaults: list[str], tx: Tx) -> list[tuple[str, int, int]]:
    return links.standing(tx, org, vaults)


def _counting(now: int, tx: Tx) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    return agents.active(tx), revoked_serials(tx, now)


def _offer(org: str, vaults: list[str], tx: Tx) -> list[outbox.Offered]:
    return outbox.offer_bundles(tx, org, vaults)


def gone(error: BaseException) -> None:
    """What a connection failed of: the wire is the agent's matter, anything else is ours."""
    if isinstance(error, PipeError):
        log.debug("connection ended: %s", error.reason)
    else:
        log.error("connection failed: %s", where(error))
