"""From a staged bundle to one in force: once, reported, whatever happens in between."""

from collections.abc import AsyncIterator

import pytest

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.bundle import AcceptedVersion, BundleError
from protocols.link.codec import decode_payload
from protocols.link.vocabulary import PolicyPhase, PolicyReason
from tests.unit.vault.control_link.samples import bundle, digest_of, fixed
from tests.unit.vault.control_link.scene import FakeHost
from vault.control_link.bundle_applier import BundleApplier
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.host import AppliedBundle
from vault.control_link.inbox import SqlInbox
from vault.control_link.outbox import SqlOutbox
from vault.errors import UnavailableError


class Desk:
    """Bundles with their inbox and outbox, and a vault."""

    def __init__(self, database: LinkDatabase, world: FakeWorld) -> None:
        self.host = FakeHost(world)
        self.outbox = SqlOutbox(database, world)
        self.inbox = SqlInbox(database, lambda: None)
        self.ids = 0
        self.bundles = BundleApplier(
            database=database,
            outbox=self.outbox,
            host=self.host,
            world=world,
            on_queued=lambda: None,
        )

    async def stage(self, signed: bytes) -> None:
        """It has come."""
        self.ids += 1
        await self.inbox.apply(fixed("stream"), self.ids, m.PolicyUpdate(bundle=signed))

    async def told(self) -> list[m.Message]:
        """What the control plane is owed."""
        batch = await self.outbox.read(0, 100)
        return [decode_payload(entry.name, entry.payload) for entry in batch.entries]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """With nothing staged."""
    world = FakeWorld()
    async with open_link_database(None, world) as database:
        made = Desk(database, world)
        await made.outbox.open()
        yield made


async def test_nothing_staged_is_nothing_to_do(desk: Desk) -> None:
    """No report either."""
    assert await desk.bundles.apply_staged()
    assert await desk.told() == []


async def test_it_is_applied_and_reported_once(desk: Desk) -> None:
    """And then it waits no more."""
    await desk.stage(bundle(1))
    assert await desk.bundles.apply_staged()
    assert await desk.bundles.apply_staged()
    (status,) = await desk.told()
    assert isinstance(status, m.PolicyStatus)
    assert (status.phase, status.narrowed) == (PolicyPhase.APPLIED, 1)
    assert desk.host.applied == [bundle(1)]
    assert desk.bundles.trouble == ""


async def test_a_refused_one_says_why(desk: Desk) -> None:
    """To the control plane, and as an alert."""
    desk.host.refuse = BundleError(PolicyReason.OLDER, "not newer")
    await desk.stage(bundle(7))
    assert await desk.bundles.apply_staged()
    status, alert = await desk.told()
    assert isinstance(status, m.PolicyStatus)
    assert (status.version, status.reason) == (7, PolicyReason.OLDER)
    assert status.bundle_hash == digest_of(bundle(7))
    assert isinstance(alert, m.Alert)
    assert "not newer" in desk.bundles.trouble


async def test_bytes_that_are_no_bundle_are_an_alert(desk: Desk) -> None:
    """They name no version to report."""
    desk.host.refuse = BundleError(PolicyReason.SIGNATURE, "nobody has signed this")
    await desk.stage(b"x" * 100)
    assert await desk.bundles.apply_staged()
    (alert,) = await desk.told()
    assert isinstance(alert, m.Alert)


async def test_what_cannot_be_done_now_waits(desk: Desk) -> None:
    """Sealed, or a store that is away: it stays staged, and nothing is reported."""
    await desk.stage(bundle(1))
    desk.host.is_open = False
    assert not await desk.bundles.apply_staged()
    desk.host.is_open, desk.host.refuse = True, UnavailableError("store_full", "no space")
    assert not await desk.bundles.apply_staged()
    assert await desk.told() == []
    desk.host.refuse = None
    assert await desk.bundles.apply_staged()


async def test_a_newer_one_that_came_meanwhile_is_not_forgotten(desk: Desk) -> None:
    """Only the very bundle that was applied is taken away."""
    await desk.stage(bundle(1))
    apply = desk.host.apply_bundle

    async def slow(signed: bytes) -> AppliedBundle:
        await desk.stage(bundle(2))
        return await apply(signed)

    desk.host.apply_bundle = slow  # type: ignore[method-assign]  # another arrives
    await desk.bundles.apply_staged()
    desk.host.apply_bundle = apply  # type: ignore[method-assign]  # as before
    await desk.bundles.apply_staged()
    assert desk.host.applied == [bundle(1), bundle(2)]


async def test_what_is_in_force_can_be_said_again(desk: Desk) -> None:
    """If there is anything."""
    await desk.bundles.report_status(AppliedBundle(AcceptedVersion(), 0))
    assert await desk.told() == []
    await desk.bundles.report_status(AppliedBundle(AcceptedVersion(4, bytes(32)), 2))
    (status,) = await desk.told()
    assert isinstance(status, m.PolicyStatus)
    assert (status.version, status.narrowed) == (4, 2)
