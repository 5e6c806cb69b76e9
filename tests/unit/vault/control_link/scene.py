"""A running uplink, and the vault, desk and ledger that it meets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio

from actors.testing import FakeWorld
from actors.tree import Node
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion
from protocols.pki.messages import Pending
from tests.unit.vault.control_link.plane import Plane
from tests.unit.vault.control_link.samples import DAY, credential, digest_of
from vault.control_link.client import LinkClient
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.dependencies import LinkConfig, LinkDependencies
from vault.control_link.egress_chain import EgressStream
from vault.control_link.enrol_client import EnrolTarget
from vault.control_link.host import AppliedBundle, MetricFigures, VaultFacts
from vault.control_link.identity import AgentCredential


class ListEgress:
    """An egress ledger that is a list; `fail` makes it refuse."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.fail: Exception | None = None

    async def record(self, sending: EgressStream, contents: Sequence[bytes]) -> None:
        """See `EgressRecorder`."""
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
    stored: AcceptedVersion = field(default_factory=AcceptedVersion)
    expires: int = 0
    applied: list[bytes] = field(default_factory=list)
    refuse: Exception | None = None
    rotations: int = 0
    troubles: frozenset[words.AlertCode] = frozenset()
    workers: words.WorkersState = words.WorkersState.STEADY
    key_providers: words.KeyProvidersState | None = None
    backups: m.Backups | None = None
    clients: m.Clients | None = None
    rotations_report: m.Rotations | None = None
    vault: bytes = b""
    break_glass_uses: int = 0
    bundle_hash: bytes = bytes(32)

    def facts(self) -> VaultFacts:
        """See `Host`."""
        return VaultFacts(
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
            workers=self.workers,
            key_providers=self.key_providers,
            vault=self.vault,
            break_glass_uses=self.break_glass_uses,
            break_glass_used_at=1,
            bundle_hash=self.bundle_hash,
            backups=self.backups,
            clients=self.clients,
            rotations=self.rotations_report,
        )

    def figures(self) -> MetricFigures:
        """See `Host`."""
        return MetricFigures(
            counters={words.CounterName.READS: 7},
            gauges={words.GaugeName.SEALED: 0},
            histograms={words.HistogramName.REQUEST_DURATION: ((1,) * 15, 15)},
        )

    def actor_tree(self) -> Node | None:
        """See `Host`."""
        return Node(name="agent", kind="unit", state="running") if self.is_open else None

    async def apply_bundle(self, signed: bytes) -> AppliedBundle:
        """See `Host`."""
        await trio.lowlevel.checkpoint()
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(signed)
        self.stored = AcceptedVersion(len(self.applied), digest_of(signed))
        return AppliedBundle(self.stored, 1)

    async def checkpoint(self, old_size: int, old_root: bytes) -> m.AuditCheckpoint | None:  # noqa: ARG002
        """See `Host`."""
        return None

    async def rotate_kek(self) -> None:
        """See `Host`."""
        self.rotations += 1

    async def run_backup(self) -> bool:
        """See `Host`."""
        return False


class FakeEnroller:
    """Lets in after some waiting; renews by the next generation."""

    def __init__(self, world: FakeWorld, held: AgentCredential | None, waits: int = 0) -> None:
        self.world = world
        self.held = held
        self.waits = waits
        self.fail: Exception | None = None
        self.renewals = self.joins = 0
        self.retry_after = 10

    def load(self) -> AgentCredential | None:
        """What is stored."""
        return self.held

    async def join(self, _door: EnrolTarget, *, org: str = "", label: str = "") -> Pending | None:  # noqa: ARG002
        """See `Enroller`."""
        await trio.lowlevel.checkpoint()
        self.joins += 1
        if self.fail is not None:
            raise self.fail
        if self.joins <= self.waits:
            return Pending(id="1", fingerprint="aaaa-bbbb", retry_after=self.retry_after)
        self.held = credential(self.world)
        return None

    async def renew(self, held: AgentCredential) -> None:
        """See `Enroller`."""
        await trio.lowlevel.checkpoint()
        self.renewals += 1
        if self.fail is not None:
            raise self.fail
        self.held = credential(self.world, DAY, held.enrolment.generation + 1)


@dataclass
class Stage:
    """An agent's uplink, running, with all that it meets."""

    uplink: LinkClient
    host: FakeHost
    plane: Plane
    enroller: FakeEnroller
    egress: ListEgress
    database: LinkDatabase
    world: FakeWorld


@asynccontextmanager
async def staged(
    plane: Plane,
    *,
    database: LinkDatabase | None = None,
    host: FakeHost | None = None,
    enroller: FakeEnroller | None = None,
    egress: ListEgress | None = None,
    config: LinkConfig | None = None,
) -> AsyncIterator[Stage]:
    """A running uplink; leaving the block is a crash, and its database is what survives it."""
    world = plane.world
    async with AsyncExitStack() as stack:
        if database is None:
            database = await stack.enter_async_context(open_link_database(None, world))
        running = _running(plane, database, host, enroller, egress, config)
        yield await stack.enter_async_context(running)


@asynccontextmanager
async def _running(
    plane: Plane,
    database: LinkDatabase,
    host: FakeHost | None,
    enroller: FakeEnroller | None,
    egress: ListEgress | None,
    config: LinkConfig | None,
) -> AsyncIterator[Stage]:
    world = plane.world
    host, egress = host or FakeHost(world), egress or ListEgress()
    enroller = enroller or FakeEnroller(world, credential(world))
    parts = LinkDependencies(
        database=database,
        egress=egress,
        dial=plane.dial,
        enroller=enroller,
        load=enroller.load,
        host=host,
        world=world,
    )
    async with trio.open_nursery() as nursery:
        uplink = LinkClient(parts, config or LinkConfig())
        await nursery.start(uplink.run)
        yield Stage(uplink, host, plane, enroller, egress, database, world)
        nursery.cancel_scope.cancel()
