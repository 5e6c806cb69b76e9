"""Alerts of the agent itself: each once, and none lost on its way to the outbox."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from actors import World
from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.codec import decode_payload
from protocols.link.vocabulary import AlertCode, Severity
from tests.unit.vault.control_link.samples import bundle
from tests.unit.vault.control_link.scene import FakeHost
from vault.control_link.alert_queue import AlertQueue
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.message_factory import MILLI
from vault.control_link.outbox import SqlOutbox


class Outbox(SqlOutbox):
    """During whose work something happens."""

    def __init__(self, database: LinkDatabase, world: World) -> None:
        super().__init__(database, world)
        self.meanwhile: list[Callable[[], None]] = []

    async def append(self, message: m.Message) -> int:
        """See `SqlOutbox`."""
        if self.meanwhile:
            self.meanwhile.pop()()
        return await super().append(message)


@dataclass
class Scene:
    """A vault, its alarms, and where they go."""

    host: FakeHost
    outbox: Outbox
    database: LinkDatabase
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """As an agent that was killed: what only memory had is gone."""
        self.alarms = AlertQueue(
            self.host,
            self.outbox,
            self.host.world,
            partial(self.calls.append, "raised"),
            partial(self.calls.append, "queued"),
        )

    async def told(self) -> list[tuple[AlertCode, int]]:
        """Look at the vault, owe what is raised, and take it from the outbox: code and count."""
        self.alarms.raise_vault_alerts()
        await self.alarms.report_break_glass(self.database)
        await self.alarms.flush_to_outbox()
        found = (await self.outbox.read((await self.outbox.state()).acknowledged, 100)).entries
        alerts = [decode_payload(entry.name, entry.payload) for entry in found]
        await self.outbox.acknowledge(found[-1].id if found else 0)
        return [(one.code, one.count) for one in alerts if isinstance(one, m.Alert)]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """An open vault in order."""
    world = FakeWorld()
    async with open_link_database(None, world) as database:
        outbox = Outbox(database, world)
        await outbox.open()
        yield Scene(FakeHost(world), outbox, database)


async def test_what_is_raised_often_is_one_message_that_says_how_often(scene: Scene) -> None:
    """Both ends hear of it: who is to owe it, and who is to send it."""
    for _ in range(3):
        scene.alarms.raise_alert(AlertCode.LOCKOUT, Severity.WARNING)
    scene.alarms.raise_alert(AlertCode.DISK_LOW, Severity.WARNING)
    assert await scene.told() == [(AlertCode.LOCKOUT, 3), (AlertCode.DISK_LOW, 1)]
    assert scene.calls == ["raised"] * 4 + ["queued"] * 2
    assert await scene.told() == []


async def test_what_is_raised_meanwhile_is_not_lost(scene: Scene) -> None:
    """While the outbox takes the ones before, of the same kind."""
    again = partial(scene.alarms.raise_alert, AlertCode.LOCKOUT, Severity.WARNING)
    scene.outbox.meanwhile.append(again)
    again()
    assert await scene.told() == [(AlertCode.LOCKOUT, 1), (AlertCode.LOCKOUT, 1)]


async def test_sealed_and_unsealed_are_told_when_they_begin(scene: Scene) -> None:
    """How it was found at the start is no news."""
    seen = []
    for is_open in (True, True, False, False, True):
        scene.host.is_open = is_open
        seen.append([code for code, _ in await scene.told()])
    assert seen == [[], [], [AlertCode.SEALED], [], [AlertCode.UNSEALED]]


async def test_a_recorded_use_of_break_glass_is_reported_after_a_kill(
    scene: Scene,
) -> None:
    """Each once, of each vault; how often it was is its count."""
    opened = AlertCode.UNSEALED
    scene.host.vault = b"first"
    assert await scene.told() == []
    scene.host.break_glass_uses = 2
    scene.restart()  # before it has told anything
    assert await scene.told() == [(opened, 2)]
    assert scene.calls == ["queued"]
    assert await scene.told() == []
    scene.restart()
    assert await scene.told() == []
    scene.host.break_glass_uses = 3
    assert await scene.told() == [(opened, 1)]
    scene.host.vault, scene.host.break_glass_uses = b"second", 1
    assert await scene.told() == [(opened, 1)]


async def test_a_sealed_vault_reports_a_use_and_hides_none_later(scene: Scene) -> None:
    """Nothing verifies it, so the open vault tells again; what that has told is no news."""
    opened = AlertCode.UNSEALED
    scene.host.vault, scene.host.is_open = b"vault", False
    scene.host.break_glass_uses = 2**70
    assert await scene.told() == [(opened, 1)]
    scene.restart()
    assert await scene.told() == []
    scene.restart()
    scene.host.is_open, scene.host.break_glass_uses = True, 1
    assert await scene.told() == [(opened, 1)]
    scene.restart()
    assert await scene.told() == []
    scene.host.vault = b"other"
    assert await scene.told() == [(opened, 1)]
    scene.host.is_open = False
    assert await scene.told() == [(AlertCode.SEALED, 1)]


async def test_trouble_is_told_when_it_begins(scene: Scene) -> None:
    """Again when it comes back, and beside another that goes on."""
    tampered, disk = AlertCode.AUDIT_TAMPERED, AlertCode.DISK_LOW
    seen = []
    for troubles in ({tampered}, {tampered, disk}, {disk}, {tampered, disk}):
        scene.host.troubles = frozenset(troubles)
        seen.append([code for code, _ in await scene.told()])
    assert seen == [[tampered], [disk], [], [tampered]]


async def test_trouble_that_is_no_outage_is_a_warning(scene: Scene) -> None:
    """As the control plane takes it from the list of what is wrong now."""
    scene.host.troubles = frozenset({AlertCode.DISK_LOW, AlertCode.AUDIT_SINK_FAILED})
    scene.alarms.raise_vault_alerts()
    await scene.alarms.flush_to_outbox()
    found = (await scene.outbox.read((await scene.outbox.state()).acknowledged, 9)).entries
    alerts = [decode_payload(entry.name, entry.payload) for entry in found]
    assert {alert.code: alert.severity for alert in alerts if isinstance(alert, m.Alert)} == {
        AlertCode.DISK_LOW: Severity.WARNING,
        AlertCode.AUDIT_SINK_FAILED: Severity.CRITICAL,
    }


async def test_a_bundle_that_expired_is_told_once_for_its_version(scene: Scene) -> None:
    """It stays in force; the next one's end is news."""
    now = scene.host.world.now() // MILLI
    await scene.host.apply_bundle(bundle(1))
    for expires, told in ((now + 1, False), (now, True), (now, False)):
        scene.host.expires = expires
        assert await scene.told() == ([(AlertCode.POLICY_EXPIRED, 1)] if told else [])
    await scene.host.apply_bundle(bundle(2))
    assert await scene.told() == [(AlertCode.POLICY_EXPIRED, 1)]


async def test_what_is_wrong_now_is_listed(scene: Scene) -> None:
    """All of it, and nothing that is over: troubles, sealed, a bundle that expired."""
    host, now = scene.host, scene.host.world.now() // MILLI
    assert scene.alarms.conditions().codes == ()
    host.is_open = False
    host.troubles = frozenset({AlertCode.STORE_FAILED})
    assert scene.alarms.conditions().codes == (AlertCode.SEALED, AlertCode.STORE_FAILED)
    host.is_open, host.troubles, host.expires = True, frozenset(), now
    assert scene.alarms.conditions().codes == (AlertCode.POLICY_EXPIRED,)
