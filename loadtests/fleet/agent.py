"""One simulated agent: a real link, and behind it nothing but memory.

It registers, beats, takes policies in their order and reports them as applied. It has no vault and
no egress ledger, and reports no figures. It signs what it sends; what the control plane has signed
one agent in `CHECKING` verifies as an agent does, and the others take by the word of TLS: that work
is not the control plane's, but it would be done on its cores.
"""

import os
import random
import ssl
import time
from collections import Counter
from pathlib import Path
from typing import Final

import trio

from loadtests.fleet.bulk_enrolment import EnrolledAgent
from loadtests.fleet.websocket import ClientCertificate, WebSocketClient
from protocols.link import backoff, codec
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import (
    ZERO_HASH,
    AcceptedVersion,
    Bundle,
    VerifiedBundle,
    hash_of,
    open_bundle,
)
from protocols.link.errors import LinkError, RemoteFaultError, TransportError
from protocols.link.fields import SIGNATURE_SIZE
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
from protocols.link_transport.tls_contexts import TlsIdentity, agent_context
from protocols.pki.certificates import parse_certificate
from protocols.pki.trust import TrustStore

HEARTBEAT: Final = 60.0
"""Seconds, as an agent's default."""
CHECKING: Final = 20
"""One agent of so many verifies the control plane's certificate, frames and bundles."""


class TrustingVerifier(Verifier):
    """Takes every frame as signed."""

    __slots__ = ()

    def verify(self, *_frame: object) -> bool:
        """See `Verifier`."""
        return True


class SimulatedAgent:
    """Linked until it is cancelled; it comes back by itself. Times are `time.monotonic`'s."""

    def __init__(
        self, number: int, recruit: EnrolledAgent, address: tuple[str, int], losses: Counter[str]
    ) -> None:
        """`losses` counts why connections ended or did not begin, for all agents together."""
        self._grant = recruit.grant
        self._key = LinkKey.from_seed(recruit.link_seed)
        self._address = address
        self._losses = losses
        self._checks = number % CHECKING == 0
        self._shown = _shown(recruit, checks=self._checks)
        self._outbox = MemoryOutbox(os.urandom(16))
        self._inbox = MemoryInbox()
        self._stored = AcceptedVersion()
        self._session: LinkSession | None = None
        self._wire: WebSocketClient | None = None
        self._writing = False
        self._ponged = trio.Event()
        self._ahead = 0.0
        self._beat_at = time.monotonic() + HEARTBEAT * random.random()  # noqa: S311  # no secret
        self._reports: dict[int, int] = {}
        self.opened = trio.Event()
        self.opened_at = 0.0
        self._told = trio.Event()
        self._applied: dict[int, float] = {}

    async def run(self) -> None:
        """Stay linked."""
        attempt = 0
        while True:
            try:
                await self._talk()
            except LinkError as error:
                self._losses[_reason(error)] += 1
            attempt = 0 if self.opened.is_set() else attempt + 1
            if not attempt:
                self.opened = trio.Event()
            await trio.sleep(backoff.reconnect_delay(attempt, random.random()))  # noqa: S311  # no secret

    async def beat(self, number: int) -> float:
        """So many heartbeats, and a ping whose answer says that the control plane has taken them.

        Returns the seconds that took. The agent's own clock leaps to when its next ping is due.
        """
        session = self._session
        if session is None or not self.opened.is_set():
            await self.opened.wait()
            return 0.0
        began, self._ponged = time.monotonic(), trio.Event()
        for _ in range(number):
            session.send_message(self._heartbeat())
        self._ahead += max(0.0, session.deadline - self._now().monotonic)
        try:
            session.tick(self._now())
            await self._write()
        except LinkError:
            return 0.0  # `run` finds that too, and counts it
        await self._ponged.wait()
        return time.monotonic() - began

    async def applied(self, version: int) -> None:
        """Wait until the control plane has it on record that this version is applied."""
        while version not in self._applied:
            await self._told.wait()

    def applied_at(self, version: int) -> float:
        """When that was; 0 if it is not yet."""
        return self._applied.get(version, 0.0)

    async def _talk(self) -> None:
        self._wire = await WebSocketClient.connect(self._address, self._shown)
        try:
            self._session = session = LinkSession.agent(await self._end(self._wire), self._now())
            await self._write()
            while not session.is_ended:
                await self._turn(session, self._wire)
        finally:
            self._session, self._writing = None, False
            self._ponged.set()
            await self._wire.aclose()

    async def _turn(self, session: LinkSession, wire: WebSocketClient) -> None:
        """Whatever comes next: a frame, a ping that is due, a heartbeat."""
        frame = b""
        wait = min(session.deadline - self._ahead, self._beat_at) - time.monotonic()
        with trio.move_on_after(max(0.0, wait)):
            frame = await wire.receive()
        if frame:
            await self._hear(session, frame)
        else:
            session.tick(self._now())
        if time.monotonic() >= self._beat_at:
            self._beat_at += HEARTBEAT
            if self.opened.is_set():
                session.send_message(self._heartbeat())
        await self._write()

    async def _hear(self, session: LinkSession, frame: bytes) -> None:
        trip = session.round_trip
        for event in session.receive_frame(frame, self._now()):
            await self._meet(session, event)
        if session.round_trip is not trip:
            self._ponged.set()

    async def _write(self) -> None:
        """Write what is due; whoever is at it already writes this too."""
        session, wire = self._session, self._wire
        if self._writing or session is None or wire is None:
            return
        self._writing = True
        try:
            while True:
                if session.window_room and self._outbox.entries:
                    batch = await self._outbox.read(session.last_sent, session.window_room)
                    if batch.through > session.last_sent:
                        session.send_batch(batch)
                frames = session.take_frames(self._now())
                if not frames:
                    return
                for frame in frames:
                    await wire.send(frame)
        finally:
            self._writing = False

    async def _end(self, wire: WebSocketClient) -> SessionConfig:
        grant, keys = self._grant, [self._grant.link_key]
        return SessionConfig(
            channel=ChannelBinding(
                org=grant.org,
                vault=grant.vault,
                agent_certificate=sha256(grant.chain[0]),
                control_certificate=sha256(wire.peer_certificate),
            ),
            signer=self._key,
            verifier=Verifier(keys) if self._checks else TrustingVerifier(keys),
            nonce=os.urandom(16),
            outbox=await self._outbox.state(),
            cursor=await self._inbox.cursor(),
        )

    async def _meet(self, session: LinkSession, event: SessionEvent) -> None:
        match event:
            case SessionOpened():
                self.opened_at = time.monotonic()
                session.send_message(self._registration())
                self.opened.set()
            case MessageReceived(id=id_, message=m.PolicyUpdate(bundle=bundle)):
                await self._inbox.apply(session.peer_stream, id_, None)
                await self._take(bundle)
                session.mark_applied(id_)
            case MessageReceived(id=0):
                pass
            case MessageReceived(id=id_) | MessagesSkipped(last=id_):
                await self._inbox.apply(session.peer_stream, id_, None)
                session.mark_applied(id_)
            case MessagesAcknowledged(through=through):
                await self._outbox.acknowledge(through)
                self._acknowledged(through)
            case _:
                pass

    async def _take(self, signed: bytes) -> None:
        taken = self._checked(signed) if self._checks else _read(signed)
        version = taken.bundle.version
        self._stored = AcceptedVersion(version, taken.hash)
        status = m.PolicyStatus(
            version=version, bundle_hash=taken.hash, phase=words.PolicyPhase.APPLIED,
            reason=words.PolicyReason.NONE, narrowed=0, at=time.time_ns() // 1_000_000,
        )  # fmt: skip
        self._reports[await self._outbox.append(status)] = version

    def _checked(self, signed: bytes) -> VerifiedBundle:
        grant = self._grant
        return open_bundle(
            signed, [grant.policy_key], org=grant.org, vault=grant.vault,
            stored=self._stored, now_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip

    def _acknowledged(self, through: int) -> None:
        for id_ in [id_ for id_ in self._reports if id_ <= through]:
            self._applied[self._reports.pop(id_)] = time.monotonic()
            self._told.set()
            self._told = trio.Event()

    def _registration(self) -> m.Registration:
        return m.Registration(
            release="0.1.0", platform=words.Platform.LINUX_AMD64, backend=words.Backend.SQLITE,
            key_holder=words.KeyHolder.FILE, started_at=time.time_ns() // 1_000_000,
            policy_version=self._stored.version, policy_hash=self._stored.hash or ZERO_HASH,
            audit_size=0,
        )  # fmt: skip

    def _heartbeat(self) -> m.Heartbeat:
        return m.Heartbeat(
            health=words.Health.SERVING, uptime=60, policy_version=self._stored.version,
            audit_size=1, secrets=100, outbox_messages=0, outbox_bytes=0,
        )  # fmt: skip

    def _now(self) -> ClockReading:
        return ClockReading(time.monotonic() + self._ahead, time.time_ns() // 1_000_000)


def _reason(error: LinkError) -> str:
    """A word for why a connection ended."""
    match error:
        case TransportError():
            return error.reason
        case RemoteFaultError():
            return str(error.fault)
        case _:
            return type(error).__name__


def _read(signed: bytes) -> VerifiedBundle:
    """The bundle, its signature unverified."""
    data = signed[SIGNATURE_SIZE:]
    return VerifiedBundle(codec.decode_struct(data, Bundle), hash_of(data))


def _shown(recruit: EnrolledAgent, *, checks: bool) -> ClientCertificate:
    file = Path(recruit.certificate)
    if checks:
        trust = TrustStore.from_roots([parse_certificate(der) for der in recruit.grant.roots])
        return ClientCertificate(agent_context(TlsIdentity(file, file), trust, time.time_ns), file)
    return ClientCertificate(_TRUSTING, file)


def _trusting() -> ssl.SSLContext:
    """For all who take the control plane's certificate unverified; they show their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


_TRUSTING: Final = _trusting()
