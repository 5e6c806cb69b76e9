"""What the tests beside share: a world on Trio's clock, a vault, and a control plane that talks."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.testing import FakeWorld
from actors.tree import Node
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import NO_BUNDLE, Bundle, PolicyKey, Stored, hash_of, sign_bundle
from protocols.link.ends import End, Moment
from protocols.link.errors import LinkError, PipeError
from protocols.link.events import Acknowledged, Missed, Received
from protocols.link.handshake import Channel
from protocols.link.memory import MemoryInbox, MemoryOutbox, MemoryPipe, pipe_pair
from protocols.link.pipe import Pipe
from protocols.link.session import Session
from protocols.link.signing import LinkKey, Verifier, sha256
from protocols.pki.messages import Pending
from protocols.pki.names import AgentName
from vault.uplink.database import Database, opened
from vault.uplink.egress import Sending
from vault.uplink.enrolling import Door
from vault.uplink.host import Applied, Facts, Figures
from vault.uplink.identity import Credential, Enrolment
from vault.uplink.parts import Parts, UplinkConfig
from vault.uplink.uplink import Uplink

AGENT_KEY = LinkKey.from_seed(b"a" * 32)
CONTROL_KEY = LinkKey.from_seed(b"c" * 32)
POLICY_KEY = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"p" * 32))
LEAF, CONTROL_LEAF = b"agent leaf", b"control leaf"
ORG, VAULT = "acme", "prod"
NANO, DAY = 1_000_000_000, 86_400


class TrioWorld(FakeWorld):
    """A world whose clock is Trio's: with `autojump_clock`, weeks pass in a moment."""

    def now(self) -> int:
        """Unix nanoseconds."""
        return 1_800_000_000 * NANO + round(trio.current_time() * NANO)

    def wall(self) -> int:
        """The same."""
        return self.now()

    def monotonic(self) -> float:
        """Trio's clock."""
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        """`trio.sleep`."""
        await trio.sleep(seconds)


def fixed(label: str, size: int = 16) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(label.encode()).digest(size)


def credential(world: FakeWorld, life: float = 30 * DAY, generation: int = 1) -> Credential:
    """An enrolled agent without files."""
    enrolment = Enrolment(
        endpoint="https://control.test",
        org=ORG,
        vault=VAULT,
        generation=generation,
        link_key=CONTROL_KEY.public,
        policy_key=POLICY_KEY.public,
    )
    now = world.now()
    return Credential(
        enrolment=enrolment,
        name=AgentName(ORG, VAULT),
        leaf=LEAF + b"%d" % generation,
        serial=f"{generation:040x}",
        begins=now,
        expires=now + round(life * NANO),
        signer=AGENT_KEY,
        trust=None,  # type: ignore[arg-type]  # there is no TLS here
        identity=None,  # type: ignore[arg-type]  # the same
    )


def bundle(version: int, *rules: bytes, prev: bytes = NO_BUNDLE, key: PolicyKey = POLICY_KEY,
           org: str = ORG, expires: int = 2**60) -> bytes:  # fmt: skip
    """A signed bundle."""
    made = Bundle(
        org=org,
        vault=VAULT,
        version=version,
        prev_hash=prev,
        not_before=0,
        expires=expires,
        rules=rules,
    )
    return sign_bundle(made, key)


def digest_of(signed: bytes) -> bytes:
    """What the next bundle names as its predecessor."""
    return hash_of(signed[64:])


class ListEgress:
    """An egress ledger that is a list; `fail` makes it refuse."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.fail: Exception | None = None

    async def record(self, sending: Sending, contents: Sequence[bytes]) -> None:
        """See `Egress`."""
        await trio.lowlevel.checkpoint()
        if self.fail is not None:
            raise self.fail
        for content in contents:
            self.entries.append(content)
            sending.offset += len(content)


@dataclass
class FakeHost:
    """A vault that applies bundles by their version alone."""

    world: FakeWorld
    is_open: bool = True
    stored: Stored = field(default_factory=Stored)
    expires: int = 0
    applied: list[bytes] = field(default_factory=list)
    refuse: Exception | None = None
    rotations: int = 0
    troubles: frozenset[words.AlertCode] = frozenset()

    def facts(self) -> Facts:
        """See `Host`."""
        return Facts(
            health=words.Health.SERVING if self.is_open else words.Health.SEALED,
            release="1.2.3",
            platform=words.Platform.LINUX_AMD64,
            backend=words.Backend.SQLITE,
            key_holder=words.KeyHolder.FILE,
            started_at=1,
            uptime=2,
            policy=self.stored,
            policy_expires=self.expires,
            narrowed=0,
            audit_size=3,
            secrets=4,
            troubles=self.troubles,
        )

    def figures(self) -> Figures:
        """See `Host`."""
        return Figures(
            counters={words.CounterName.READS: 7},
            gauges={words.GaugeName.SEALED: 0},
            histograms={words.HistogramName.REQUEST_DURATION: ((1,) * 15, 15)},
        )

    def tree(self) -> Node | None:
        """See `Host`."""
        return Node(name="agent", kind="unit", state="running") if self.is_open else None

    async def apply_bundle(self, signed: bytes) -> Applied:
        """See `Host`."""
        await trio.lowlevel.checkpoint()
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(signed)
        self.stored = Stored(len(self.applied), digest_of(signed))
        return Applied(self.stored, 1)

    async def checkpoint(self, old_size: int, old_root: bytes) -> m.AuditCheckpoint | None:  # noqa: ARG002
        """See `Host`."""
        return None

    async def rotate_kek(self) -> None:
        """See `Host`."""
        self.rotations += 1


class FakeEnroller:
    """Lets in after some waiting; renews by the next generation."""

    def __init__(self, world: FakeWorld, held: Credential | None, waits: int = 0) -> None:
        self.world = world
        self.held = held
        self.waits = waits
        self.fail: Exception | None = None
        self.renewals = self.joins = 0

    def load(self) -> Credential | None:
        """What is stored."""
        return self.held

    async def join(self, _door: Door, *, org: str = "", label: str = "") -> Pending | None:  # noqa: ARG002
        """See `Enroller`."""
        await trio.lowlevel.checkpoint()
        self.joins += 1
        if self.fail is not None:
            raise self.fail
        if self.joins <= self.waits:
            return Pending(id="1", fingerprint="aaaa-bbbb", retry_after=10)
        self.held = credential(self.world)
        return None

    async def renew(self, held: Credential) -> None:
        """See `Enroller`."""
        await trio.lowlevel.checkpoint()
        self.renewals += 1
        if self.fail is not None:
            raise self.fail
        self.held = credential(self.world, DAY, held.enrolment.generation + 1)


class Plane:
    """A control plane: honest unless told, remembers what it applied, can be cut off."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.outbox = MemoryOutbox(fixed("control stream"))
        self.inbox = MemoryInbox()
        self.heard: list[m.Message] = []
        """Messages that were not durable, but for pings."""
        self.wire: list[bytes] = []
        """Every frame that came."""
        self.away = False
        self.sessions = 0
        self.session: Session | None = None
        self.pipe: MemoryPipe | None = None
        self.tamper: Callable[[bytes], bytes] = lambda frame: frame
        self._stir = trio.Event()

    @property
    def applied(self) -> list[m.Message]:
        """The durable messages that were applied, in order."""
        return [message for _, message in self.inbox.applied]

    async def dial(self, nursery: trio.Nursery, held: Credential) -> Pipe:
        """`connecting.Dial`."""
        await trio.lowlevel.checkpoint()
        if self.away:
            raise PipeError("unreachable", "no connection to the control plane")
        client, server = pipe_pair(held.leaf, CONTROL_LEAF)
        nursery.start_soon(self.serve, server, held.leaf)
        return client

    async def push(self, message: m.Message) -> int:
        """Owe the agent a message."""
        id_ = await self.outbox.append(message)
        self._stir.set()
        return id_

    def cut(self) -> None:
        """The connection breaks, without a word."""
        assert self.pipe is not None
        self.pipe._send.close()
        self.pipe._receive.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something of this plane to become true."""
        while not holds():  # noqa: ASYNC110  # on a clock that jumps
            await trio.sleep(0.1)

    async def serve(self, pipe: MemoryPipe, leaf: bytes) -> None:
        """One connection."""
        channel = Channel(
            org=ORG,
            vault=VAULT,
            agent_certificate=sha256(leaf),
            control_certificate=sha256(CONTROL_LEAF),
        )
        end = End(
            channel=channel,
            signer=CONTROL_KEY,
            verifier=Verifier([AGENT_KEY.public]),
            nonce=fixed(f"nonce {self.sessions}"),
            outbox=await self.outbox.state(),
            cursor=await self.inbox.cursor(),
        )
        session = Session.control(end, self._now())
        self.session, self.pipe = session, pipe
        self.sessions += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, session, pipe)
                await self._write(session, pipe)
                nursery.cancel_scope.cancel()
        except* (LinkError, trio.ClosedResourceError):
            pass  # the agent comes back
        finally:
            with trio.CancelScope(shield=True):
                await pipe.aclose()

    async def _listen(self, session: Session, pipe: MemoryPipe) -> None:
        while not session.ended:
            frame = await pipe.receive()
            self.wire.append(frame)
            for event in session.receive(frame, self._now()):
                match event:
                    case Received(id=0, message=message):
                        if not isinstance(message, m.Ping | m.Pong | m.Ack):
                            self.heard.append(message)
                    case Received(id=id_, message=message):
                        await self.inbox.apply(session.peer_stream, id_, message)
                        session.applied(id_)
                    case Missed(last=last):
                        await self.inbox.apply(session.peer_stream, last, None)
                        session.applied(last)
                    case Acknowledged(through=through):
                        await self.outbox.acknowledge(through)
                    case _:
                        pass
            self._stir.set()

    async def _write(self, session: Session, pipe: MemoryPipe) -> None:
        while True:
            self._stir = trio.Event()
            session.tick(self._now())
            while room := session.room:
                batch = await self.outbox.read(session.sent, room)
                if batch.through == session.sent:
                    break
                session.offer(batch)
            for frame in session.frames(self._now()):
                await pipe.send(self.tamper(frame))
            if session.ended:
                return
            with trio.move_on_after(max(0.001, session.deadline - trio.current_time())):
                await self._stir.wait()

    def _now(self) -> Moment:
        return Moment(trio.current_time(), self.world.now() // 1_000_000)


@dataclass
class Stage:
    """An agent's uplink, running, with all that it meets."""

    uplink: Uplink
    host: FakeHost
    plane: Plane
    enroller: FakeEnroller
    egress: ListEgress
    database: Database
    world: FakeWorld


@asynccontextmanager
async def staged(
    plane: Plane,
    *,
    database: Database | None = None,
    host: FakeHost | None = None,
    enroller: FakeEnroller | None = None,
    egress: ListEgress | None = None,
    config: UplinkConfig | None = None,
) -> AsyncIterator[Stage]:
    """A running uplink; leaving the block is a crash, and its database is what survives it."""
    world = plane.world
    async with AsyncExitStack() as stack:
        if database is None:
            database = await stack.enter_async_context(opened(None, world))
        running = _running(plane, database, host, enroller, egress, config)
        yield await stack.enter_async_context(running)


@asynccontextmanager
async def _running(
    plane: Plane,
    database: Database,
    host: FakeHost | None,
    enroller: FakeEnroller | None,
    egress: ListEgress | None,
    config: UplinkConfig | None,
) -> AsyncIterator[Stage]:
    world = plane.world
    host, egress = host or FakeHost(world), egress or ListEgress()
    enroller = enroller or FakeEnroller(world, credential(world))
    parts = Parts(
        database=database,
        egress=egress,
        dial=plane.dial,
        enroller=enroller,
        load=enroller.load,
        host=host,
        world=world,
    )
    async with trio.open_nursery() as nursery:
        uplink = Uplink(parts, config or UplinkConfig())
        await nursery.start(uplink.run)
        yield Stage(uplink, host, plane, enroller, egress, database, world)
        nursery.cancel_scope.cancel()
