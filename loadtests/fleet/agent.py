"""One simulated agent: a real link, and behind it nothing but memory.

It registers, beats, takes policies as an agent does (signature, place in the history) and reports
them as applied. It has no vault and no egress ledger, and reports no figures.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import trio

from loadtests.fleet.crew import Recruit
from protocols.link import backoff
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import NO_BUNDLE, Stored, open_bundle
from protocols.link.ends import End, Moment
from protocols.link.errors import LinkError, PipeError
from protocols.link.events import Acknowledged, Event, Missed, Opened, Received
from protocols.link.handshake import Channel
from protocols.link.memory import MemoryInbox, MemoryOutbox
from protocols.link.session import Session
from protocols.link.signing import LinkKey, Verifier, sha256
from protocols.link.stream import WebSocketPipe, connect
from protocols.pki.certificates import parse
from protocols.pki.contexts import Identity, agent_context
from protocols.pki.trust import Trust

HEARTBEAT: Final = 60.0
"""Seconds, as an agent's default."""


class Agent:
    """Linked until it is cancelled; it comes back by itself. Times are `time.monotonic`'s."""

    def __init__(self, recruit: Recruit, host: str, port: int, losses: Counter[str]) -> None:
        """`losses` counts why connections ended or did not begin, for all agents together."""
        self._grant = recruit.grant
        self._key = LinkKey.from_seed(recruit.link_seed)
        self._address = (host, port)
        self._losses = losses
        file = Path(recruit.certificate)
        trust = Trust.of([parse(der) for der in recruit.grant.roots])
        self._context = agent_context(Identity(file, file), trust, time.time_ns)
        self._outbox = MemoryOutbox(os.urandom(16))
        self._inbox = MemoryInbox()
        self._stored = Stored()
        self._session: Session | None = None
        self._wake = trio.Event()
        self._ponged = trio.Event()
        self._ahead = 0.0
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
            except* LinkError as group:
                self._losses.update(_reasons(group))
            attempt = 0 if self.opened.is_set() else attempt + 1
            await trio.sleep(backoff.delay(attempt, random.random()))  # noqa: S311  # no secret

    async def live(self) -> None:
        """Send a heartbeat a minute, from a random moment on."""
        await trio.sleep(HEARTBEAT * random.random())  # noqa: S311  # no secret
        while True:
            self._send(self._heartbeat())
            await trio.sleep(HEARTBEAT)

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
            self._send(self._heartbeat())
        self._ahead += max(0.0, session.deadline - self._now().monotonic)
        self._wake.set()
        await self._ponged.wait()
        return time.monotonic() - began

    async def applied(self, version: int) -> float:
        """When the control plane had it on record that this version is applied; wait for it."""
        while version not in self._applied:
            await self._told.wait()
        return self._applied[version]

    async def _talk(self) -> None:
        async with trio.open_nursery() as nursery:
            pipe = await connect(nursery, *self._address, self._context)
            self._session = session = Session.agent(await self._end(pipe), self._now())
            try:
                nursery.start_soon(self._listen, session, pipe)
                await self._write(session, pipe)
            finally:
                self.opened = trio.Event()
                self._ponged.set()
                with trio.CancelScope(shield=True):
                    await pipe.aclose()
            nursery.cancel_scope.cancel()

    async def _end(self, pipe: WebSocketPipe) -> End:
        grant = self._grant
        return End(
            channel=Channel(
                org=grant.org,
                vault=grant.vault,
                agent_certificate=sha256(grant.chain[0]),
                control_certificate=sha256(pipe.peer_certificate),
            ),
            signer=self._key,
            verifier=Verifier([grant.link_key]),
            nonce=os.urandom(16),
            outbox=await self._outbox.state(),
            cursor=await self._inbox.cursor(),
        )

    async def _listen(self, session: Session, pipe: WebSocketPipe) -> None:
        while not session.ended:
            frame, trip = await pipe.receive(), session.round_trip
            for event in session.receive(frame, self._now()):
                await self._meet(session, event)
            if session.round_trip != trip:
                self._ponged.set()
            self._wake.set()

    async def _write(self, session: Session, pipe: WebSocketPipe) -> None:
        while not session.ended:
            self._wake = trio.Event()
            session.tick(self._now())
            while room := session.room:
                batch = await self._outbox.read(session.sent, room)
                if batch.through == session.sent:
                    break
                session.offer(batch)
            for frame in session.frames(self._now()):
                await pipe.send(frame)
            with trio.move_on_after(max(0.001, session.deadline - self._now().monotonic)):
                await self._wake.wait()

    async def _meet(self, session: Session, event: Event) -> None:
        match event:
            case Opened():
                self.opened_at = time.monotonic()
                session.send(self._registration())
                self.opened.set()
            case Received(id=id_, message=m.PolicyUpdate(bundle=bundle)):
                await self._inbox.apply(session.peer_stream, id_, None)
                await self._take(bundle)
                session.applied(id_)
            case Received(id=id_) | Missed(last=id_):
                await self._inbox.apply(session.peer_stream, id_, None)
                session.applied(id_)
            case Acknowledged(through=through):
                await self._outbox.acknowledge(through)
                self._acknowledged(through)
            case _:
                pass

    async def _take(self, signed: bytes) -> None:
        grant, now = self._grant, time.time_ns() // 1_000_000
        taken = open_bundle(
            signed, [grant.policy_key], org=grant.org, vault=grant.vault,
            stored=self._stored, now_ms=now,
        )  # fmt: skip
        version = taken.bundle.version
        self._stored = Stored(version, taken.hash)
        status = m.PolicyStatus(
            version=version, bundle_hash=taken.hash, phase=words.PolicyPhase.APPLIED,
            reason=words.PolicyReason.NONE, narrowed=0, at=now,
        )  # fmt: skip
        self._reports[await self._outbox.append(status)] = version

    def _acknowledged(self, through: int) -> None:
        for id_ in [id_ for id_ in self._reports if id_ <= through]:
            self._applied[self._reports.pop(id_)] = time.monotonic()
        self._told.set()
        self._told = trio.Event()

    def _send(self, message: m.Message) -> None:
        if self._session is not None and self.opened.is_set():
            self._session.send(message)
            self._wake.set()

    def _registration(self) -> m.Registration:
        return m.Registration(
            release="0.1.0", platform=words.Platform.LINUX_AMD64, backend=words.Backend.SQLITE,
            key_holder=words.KeyHolder.FILE, started_at=time.time_ns() // 1_000_000,
            policy_version=self._stored.version, policy_hash=self._stored.hash or NO_BUNDLE,
            audit_size=0,
        )  # fmt: skip

    def _heartbeat(self) -> m.Heartbeat:
        return m.Heartbeat(
            health=words.Health.SERVING, uptime=60, policy_version=self._stored.version,
            audit_size=1, secrets=100, outbox_messages=0, outbox_bytes=0,
        )  # fmt: skip

    def _now(self) -> Moment:
        return Moment(time.monotonic() + self._ahead, time.time_ns() // 1_000_000)


def _reasons(group: BaseExceptionGroup[LinkError]) -> list[str]:
    """A word for each failure."""
    found: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += _reasons(error)
        else:
            found.append(error.reason if isinstance(error, PipeError) else type(error).__name__)
    return found
