"""A gateway over a real store, and agents that reach it through memory."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from actors.testing import FakeWorld
from control.core import Core
from control.gateway.agent_connection import AgentConnection
from control.gateway.gateway import Gateway
from control.gateway.link_store import LinkStore
from control.model.agents import Life
from control.services.agent_messages import AgentMessages
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion, open_bundle
from protocols.link.errors import RemoteFaultError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import VERSIONS
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    PeerLeaving,
    SessionOpened,
)
from protocols.link.signing import LinkKey, Verifier
from protocols.link_transport.memory import (
    MemoryInbox,
    MemoryOutbox,
    MemoryTransport,
    memory_transport_pair,
)
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.chain import read_agent
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key
from protocols.pki.messages import EnrolRequest, Grant, RenewRequest
from protocols.pki.proof import sign_binding
from protocols.pki.requests import create_csr

CONTROL = hashlib.sha256(b"control").digest()
PATIENCE = 60.0


@dataclass
class Vault:
    """An enrolled agent. `refuse`: it takes no bundle. `crash`: it dies before it applies."""

    grant: Grant
    key: LinkKey
    outbox: MemoryOutbox = field(default_factory=lambda: MemoryOutbox(os.urandom(16)))
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    stored: AcceptedVersion = field(default_factory=AcceptedVersion)
    heard: list[m.Message] = field(default_factory=list)
    bundles: list[int] = field(default_factory=list)
    refuse: bool = False
    versions: tuple[int, ...] = VERSIONS
    """Of the link, that it speaks."""

    @property
    def peer(self) -> Peer:
        """As TLS has proven it."""
        return read_agent(self.grant.chain[0])


class Hub:
    """The gateway, and what a test needs beside it."""

    def __init__(self, core: Core, world: FakeWorld, link_key: LinkKey) -> None:
        assert core.enrolment.ca is not None
        self.core, self.world, self.office = core, world, core.enrolment.ca
        intake = AgentMessages(core.policies.policies, core.witness, world)
        self.ends = LinkStore(core.store, core.bus, intake, core.witness, world)
        self.gateway = Gateway(
            store=core.store,
            bus=core.bus,
            presence=core.presence,
            revocation=core.enrolment.ca.revocation,
            link_store=self.ends,
            signer=link_key,
            world=world,
        )

    async def enrolled(self, vault: str) -> Vault:
        """By a token, through the CA."""
        made = await self.office.enrolment.create_token("acme", vault, "ann", replace_agent=True)
        signing, leaf = new_signing_key(), new_curve_key(KeyKind.LEAF)
        csr = create_csr(leaf)
        public = signing.public_key().public_bytes_raw()
        request = EnrolRequest(
            token=made.text, csr=csr, link_key=public, proof=sign_binding(signing, csr)
        )
        return Vault(await self.office.enrolment.enrol_agent(request), LinkKey(signing))

    async def renewed(self, vault: Vault) -> Vault:
        """The same agent by its next certificate."""
        request = RenewRequest(csr=create_csr(new_curve_key(KeyKind.LEAF)))
        grant = await self.office.renewal.renew(vault.peer, request)
        return Vault(grant, vault.key, vault.outbox, vault.inbox, vault.stored)

    async def life(self, vault: str) -> Life:
        """Whether it counts."""
        return (await self.core.agents.registry.get_agent("acme", vault)).life

    async def alerted(self) -> list[str]:
        """Codes of all alerts."""
        found = await self.core.agents.alerts.list_alerts("acme", vault="", before=0, limit=99)
        return [alert.code for alert in found]

    @asynccontextmanager
    async def connected(self, vault: Vault) -> AsyncIterator["Talk"]:
        """A session for the length of the block."""
        async with trio.open_nursery() as nursery:
            talk = self.dial(vault, nursery)
            nursery.start_soon(talk.run)
            await talk.until(lambda: talk.opened or talk.ended)
            yield talk
            nursery.cancel_scope.cancel()

    async def live(self, vault: str) -> AgentConnection:
        """The connection that counts, once the gateway has its proof."""
        with trio.fail_after(PATIENCE):
            while (found := self.gateway.connections.active_connection("acme", vault)) is None:
                await trio.testing.wait_all_tasks_blocked()
        return found

    def dial(self, vault: Vault, nursery: trio.Nursery) -> "Talk":
        """A connection; the gateway serves it."""
        ours, theirs = memory_transport_pair(vault.grant.chain[0], b"control")
        talk = Talk(self, vault, ours)
        nursery.start_soon(self._attend, theirs, vault.peer)
        return talk

    async def _attend(self, pipe: MemoryTransport, peer: Peer) -> None:
        try:
            await self.gateway.serve_connection(pipe, peer, CONTROL)
        except TransportError:
            pass
        finally:
            with trio.CancelScope(shield=True):
                await pipe.aclose()

    def moment(self) -> ClockReading:
        """Now."""
        return ClockReading(self.world.monotonic(), self.world.wall() // 10**6)


class Talk:
    """The agent's side of one session."""

    def __init__(self, hub: Hub, vault: Vault, pipe: MemoryTransport) -> None:
        self.hub, self.vault, self.pipe = hub, vault, pipe
        self.opened = self.ended = False
        self.left: words.ByeReason | None = None
        self.session: LinkSession | None = None
        self.versions = vault.versions
        self._met = trio.Condition()
        self._wake = trio.Event()

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for it, looking after each event."""
        with trio.fail_after(PATIENCE):
            async with self._met:
                while not true():
                    await self._met.wait()

    async def say(self, message: m.Message) -> None:
        """Ephemeral or durable."""
        assert self.session is not None
        if m.spec_of(message).delivery is m.Delivery.EPHEMERAL:
            self.session.send_message(message)
        else:
            await self.vault.outbox.append(message)
        self._wake.set()

    async def delivered(self) -> None:
        """All that was said is acknowledged."""
        await self.until(lambda: not self.vault.outbox.entries)

    async def hello(self) -> bytes:
        """What it says first."""
        session = LinkSession.agent(await self._end(), self.hub.moment())
        [frame] = session.take_frames(self.hub.moment())
        return frame

    async def run(self) -> None:
        """Until it is over."""
        self.session = LinkSession.agent(await self._end(), self.hub.moment())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, self.session)
            try:
                while True:
                    await self._take(self.session, await self.pipe.receive())
            except (TransportError, RemoteFaultError):
                pass
            self.ended = True
            await self._tell()
            nursery.cancel_scope.cancel()

    async def _end(self) -> SessionConfig:
        vault = self.vault
        return SessionConfig(
            channel=ChannelBinding(
                org=vault.grant.org,
                vault=vault.grant.vault,
                agent_certificate=hashlib.sha256(vault.grant.chain[0]).digest(),
                control_certificate=CONTROL,
            ),
            signer=vault.key,
            verifier=Verifier([vault.grant.link_key]),
            nonce=os.urandom(16),
            outbox=await vault.outbox.state(),
            cursor=await vault.inbox.cursor(),
            versions=self.versions,
        )

    async def _take(self, session: LinkSession, frame: bytes) -> None:
        for event in session.receive_frame(frame, self.hub.moment()):
            match event:
                case SessionOpened():
                    self.opened = True
                    session.send_message(registration(self.vault))
                case MessageReceived(id=0, message=message):
                    self.vault.heard.append(message)
                case MessageReceived(id=id_, message=message):
                    if await self.vault.inbox.apply(session.peer_stream, id_, message):
                        await self._effect(message)
                    session.mark_applied(id_)
                case MessagesSkipped(last=last):
                    await self.vault.inbox.apply(session.peer_stream, last, None)
                    session.mark_applied(last)
                case MessagesAcknowledged(through=through):
                    await self.vault.outbox.acknowledge(through)
                case PeerLeaving(reason=reason):
                    self.left = reason
                case _:
                    pass
        self._wake.set()
        await self._tell()

    async def _effect(self, message: m.Message) -> None:
        vault = self.vault
        vault.heard.append(message)
        if not isinstance(message, m.PolicyUpdate):
            return
        taken = open_bundle(
            message.bundle,
            [vault.grant.policy_key],
            org=vault.grant.org,
            vault=vault.grant.vault,
            stored=vault.stored,
            now_ms=self.hub.moment().wall_ms,
        )
        if not vault.refuse:
            vault.stored = AcceptedVersion(taken.bundle.version, taken.hash)
            vault.bundles.append(taken.bundle.version)
        await vault.outbox.append(status(taken.bundle.version, taken.hash, refuse=vault.refuse))

    async def _tell(self) -> None:
        async with self._met:
            self._met.notify_all()

    async def _write(self, session: LinkSession) -> None:
        while True:
            self._wake = trio.Event()
            while room := session.window_room:
                batch = await self.vault.outbox.read(session.last_sent, room)
                if batch.through == session.last_sent:
                    break
                session.send_batch(batch)
            try:
                for frame in session.take_frames(self.hub.moment()):
                    await self.pipe.send(frame)
            except TransportError:
                return
            if session.is_ended:
                await self.pipe.aclose()
                return
            await self._wake.wait()


def status(version: int, digest: bytes, *, refuse: bool = False) -> m.PolicyStatus:
    """What became of a bundle."""
    phase = words.PolicyPhase.REFUSED if refuse else words.PolicyPhase.APPLIED
    reason = words.PolicyReason.ABOVE_CEILING if refuse else words.PolicyReason.NONE
    return m.PolicyStatus(
        version=version, bundle_hash=digest, phase=phase, reason=reason, narrowed=0, at=1
    )


def registration(vault: Vault) -> m.Registration:
    """What an agent says first."""
    return m.Registration(
        release="1.0.0",
        platform=words.Platform.LINUX_AMD64,
        backend=words.Backend.SQLITE,
        key_holder=words.KeyHolder.FILE,
        started_at=1,
        policy_version=vault.stored.version,
        policy_hash=vault.stored.hash,
        audit_size=1,
    )
