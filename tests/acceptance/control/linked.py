"""An agent of its own making: it speaks the link and the desk over real TLS, and nothing else.

It stands for the vault's uplink where a test must decide what an agent says, to the byte.
"""

import base64
import http.client
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from actors.world import SystemWorld
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion, open_bundle
from protocols.link.delivery import OutboxState
from protocols.link.errors import TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    SessionEvent,
    SessionOpened,
)
from protocols.link.signing import LinkKey, Verifier, sha256
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from protocols.link_transport.network import connect
from protocols.link_transport.tls_contexts import TlsIdentity, agent_context, pinned_context
from protocols.link_transport.websocket import WebSocketTransport
from protocols.pki.certificates import parse_certificate, to_pem
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key, store_key
from protocols.pki.messages import Grant, decode_response
from protocols.pki.proof import sign_binding
from protocols.pki.requests import create_csr
from protocols.pki.trust import TrustStore

WORLD = SystemWorld()
PATIENCE = 60.0


def b64(data: bytes) -> str:
    """As the desk takes bytes."""
    return base64.b64encode(data).decode()


def ask(port: int, path: str, body: object, context: ssl.SSLContext) -> tuple[int, bytes]:
    """One request to the desk."""
    wire = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=context)
    try:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        wire.request("POST", f"/link/v1/{path}", content, {"Content-Type": "application/json"})
        reply = wire.getresponse()
        return reply.status, reply.read()
    finally:
        wire.close()


@dataclass
class Linked:
    """An enrolled agent, and what it has met. `bundles`: versions that it took, in order."""

    folder: Path
    port: int
    pin: str
    grant: Grant | None = None
    stored: AcceptedVersion = field(default_factory=AcceptedVersion)
    bundles: list[int] = field(default_factory=list)
    heard: list[m.Message] = field(default_factory=list)
    refuse: bool = False

    def __post_init__(self) -> None:
        """Its keys."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = new_signing_key()
        self.link_key = LinkKey(self.key)
        self.leaf_key = new_curve_key(KeyKind.LEAF)
        self.outbox = MemoryOutbox(os.urandom(16))
        self.inbox = MemoryInbox()

    @property
    def identity(self) -> TlsIdentity:
        """Its files."""
        return TlsIdentity(self.folder / "agent.pem", self.folder / "agent.key")

    @property
    def context(self) -> ssl.SSLContext:
        """With its certificate."""
        assert self.grant is not None
        trust = TrustStore.from_roots([parse_certificate(root) for root in self.grant.roots])
        return agent_context(self.identity, trust, WORLD.now)

    def binding(self) -> dict[str, Any]:
        """What `enrol` and `join` have in common."""
        csr = create_csr(self.leaf_key)
        return {
            "csr": b64(csr),
            "link_key": b64(self.link_key.public),
            "proof": b64(sign_binding(self.key, csr)),
        }

    def enrol(self, token: str) -> None:
        """By a token."""
        body = {"token": token, **self.binding()}
        status, answer = ask(self.port, "enrol", body, pinned_context(self.pin, WORLD.now))
        assert status == 200, (status, answer)
        self.take(answer)

    def take(self, answer: bytes) -> None:
        """Keep a grant."""
        grant = decode_response(answer)
        assert isinstance(grant, Grant)
        self.grant = grant
        store_key(self.identity.key, self.leaf_key, replace=True)
        self.identity.chain.write_bytes(to_pem([parse_certificate(c) for c in grant.chain]))

    def renew(self) -> tuple[int, bytes]:
        """The next certificate, for a new key; it is used once it is taken."""
        self.leaf_key = new_curve_key(KeyKind.LEAF)
        return ask(self.port, "renew", {"csr": b64(create_csr(self.leaf_key))}, self.context)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Talk"]:
        """A live session for the length of the block."""
        async with trio.open_nursery() as nursery:
            talk = await self.dial(nursery)
            nursery.start_soon(talk.run)
            with trio.fail_after(PATIENCE):
                await talk.opened.wait()
            yield talk
            nursery.cancel_scope.cancel()

    async def dial(self, nursery: trio.Nursery) -> "Talk":
        """A connection whose session has not begun."""
        pipe = await connect(nursery, "127.0.0.1", self.port, self.context)
        return Talk(self, pipe, await self.end(pipe))

    async def end(self, pipe: WebSocketTransport) -> SessionConfig:
        """Its end of a session on this connection."""
        assert self.grant is not None
        return SessionConfig(
            channel=ChannelBinding(
                org=self.grant.org,
                vault=self.grant.vault,
                agent_certificate=sha256(self.grant.chain[0]),
                control_certificate=sha256(pipe.peer_certificate),
            ),
            signer=self.link_key,
            verifier=Verifier([self.grant.link_key]),
            nonce=os.urandom(16),
            outbox=await self.outbox.state(),
            cursor=await self.inbox.cursor(),
        )


class Talk:
    """One session. `ended` is set when the connection is over, `why` says by what."""

    def __init__(self, agent: Linked, pipe: WebSocketTransport, end: SessionConfig) -> None:
        self.agent = agent
        self.pipe = pipe
        self.session = LinkSession.agent(end, now())
        self.opened = trio.Event()
        self.ended = trio.Event()
        self.met = trio.Condition()
        self.why = ""
        self._wake = trio.Event()

    async def run(self) -> None:
        """Until it is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read()
            except TransportError as error:
                self.why = str(error)
            self.ended.set()
            nursery.cancel_scope.cancel()

    async def say(self, message: m.Message) -> None:
        """Send an ephemeral message, or put a durable one into the outbox."""
        if m.spec_of(message).delivery is m.Delivery.EPHEMERAL:
            self.session.send_message(message)
        else:
            await self.agent.outbox.append(message)
        self._wake.set()

    async def until(self, true: Any) -> None:
        """Wait for the condition, which is looked at after each event."""
        with trio.fail_after(PATIENCE):
            async with self.met:
                while not true():
                    await self.met.wait()

    async def _write(self) -> None:
        while True:
            self._wake = trio.Event()
            while room := self.session.window_room:
                batch = await self.agent.outbox.read(self.session.last_sent, room)
                if batch.through == self.session.last_sent:
                    break
                self.session.send_batch(batch)
            try:
                for frame in self.session.take_frames(now()):
                    await self.pipe.send(frame)
            except TransportError:
                return
            if self.session.is_ended:
                await self.pipe.aclose()
                return
            with trio.move_on_after(max(0.0, self.session.deadline - trio.current_time())):
                await self._wake.wait()
            self.session.tick(now())

    async def _read(self) -> None:
        while True:
            for event in self.session.receive_frame(await self.pipe.receive(), now()):
                await self._meet(event)
                async with self.met:
                    self.met.notify_all()
            self._wake.set()

    async def _meet(self, event: SessionEvent) -> None:
        match event:
            case SessionOpened():
                self.session.send_message(registration(self.agent))
                self.opened.set()
            case MessageReceived(id=0, message=message):
                self.agent.heard.append(message)
            case MessageReceived(id=id_, message=message):
                if await self.agent.inbox.apply(self.session.peer_stream, id_, message):
                    await self._effect(message)
                self.session.mark_applied(id_)
            case MessagesSkipped(last=last):
                await self.agent.inbox.apply(self.session.peer_stream, last, None)
                self.session.mark_applied(last)
            case MessagesAcknowledged(through=through):
                await self.agent.outbox.acknowledge(through)
            case _:
                pass

    async def _effect(self, message: m.Message) -> None:
        agent = self.agent
        agent.heard.append(message)
        if not isinstance(message, m.PolicyUpdate):
            return
        assert agent.grant is not None
        taken = open_bundle(
            message.bundle,
            [agent.grant.policy_key],
            org=agent.grant.org,
            vault=agent.grant.vault,
            stored=agent.stored,
            now_ms=now().wall_ms,
        )
        if not agent.refuse:
            agent.stored = AcceptedVersion(taken.bundle.version, taken.hash)
            agent.bundles.append(taken.bundle.version)
        await self.say(
            m.PolicyStatus(
                version=taken.bundle.version,
                bundle_hash=taken.hash,
                phase=words.PolicyPhase.REFUSED if agent.refuse else words.PolicyPhase.APPLIED,
                reason=words.PolicyReason.ABOVE_CEILING
                if agent.refuse
                else words.PolicyReason.NONE,
                narrowed=0,
                at=now().wall_ms,
            )
        )


def now() -> ClockReading:
    """The real time."""
    return ClockReading(trio.current_time(), WORLD.now() // 10**6)


def registration(agent: Linked) -> m.Registration:
    """What it says first."""
    return m.Registration(
        release="1.0.0",
        platform=words.Platform.LINUX_AMD64,
        backend=words.Backend.SQLITE,
        key_holder=words.KeyHolder.FILE,
        started_at=1,
        policy_version=agent.stored.version,
        policy_hash=agent.stored.hash,
        audit_size=1,
    )


def heartbeat() -> m.Heartbeat:
    """It lives."""
    return m.Heartbeat(
        health=words.Health.SERVING,
        uptime=1,
        policy_version=0,
        audit_size=1,
        secrets=1,
        outbox_messages=0,
        outbox_bytes=0,
    )


def state_of(agent: Linked) -> OutboxState:
    """Of its outbox."""
    return OutboxState(agent.outbox.stream, agent.outbox.newest, agent.outbox.acknowledged)
