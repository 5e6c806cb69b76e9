"""Keeping linked: cuts at every moment, backoff, an outbox from a backup."""

import dataclasses

import pytest
import trio
from msgspec.structs import replace

from protocols.link import messages as m
from protocols.link.errors import TransportError
from protocols.link.vocabulary import AlertCode, ByeReason, Severity
from tests.unit.vault.control_link.plane import Plane
from tests.unit.vault.control_link.samples import TrioWorld, bundle, credential
from tests.unit.vault.control_link.scene import FakeEnroller, staged
from tests.unit.vault.control_link.test_inbox import command
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.connection import STALL_TIMEOUT
from vault.control_link.connector import STEADY_AFTER
from vault.control_link.database import LinkTx, open_link_database
from vault.control_link.identity import AgentCredential
from vault.control_link.inbox import MAX_UNANSWERED


@pytest.fixture
def plane() -> Plane:
    """An honest one."""
    return Plane(TrioWorld())


@pytest.mark.parametrize("frame", range(1, 9))
async def test_a_cut_at_any_frame_loses_and_repeats_nothing(
    plane: Plane, autojump_clock: object, frame: int
) -> None:
    """The plane's n-th frame never arrives; what was owed is there once, in order."""
    sent = 0

    def cut(data: bytes) -> bytes:
        nonlocal sent
        sent += 1
        if sent == frame:
            raise TransportError("closed", "cut")
        return data

    plane.tamper = cut
    async with staged(plane) as stage:
        for _ in range(3):
            stage.uplink.raise_alert(AlertCode.LOCKOUT, Severity.INFO)
        await plane.push(m.PolicyUpdate(bundle=bundle(1)))
        await plane.until(
            lambda: (
                sum(a.count for a in plane.applied if isinstance(a, m.Alert)) == 3
                and any(isinstance(a, m.PolicyStatus) for a in plane.applied)
            )
        )
        await plane.until(lambda: not plane.outbox.entries)
        await trio.sleep(120)
        assert stage.host.applied == [bundle(1)]
        statuses = [a for a in plane.applied if isinstance(a, m.PolicyStatus)]
        assert len(statuses) == 1
        assert sum(a.count for a in plane.applied if isinstance(a, m.Alert)) == 3


async def test_attempts_back_off_and_never_end(plane: Plane, autojump_clock: object) -> None:
    """At most one a second at first, in the long run one in half a minute on average."""
    plane.away = True
    dials = 0
    dial = plane.dial

    async def counted(nursery: trio.Nursery, held: object) -> object:
        nonlocal dials
        dials += 1
        return await dial(nursery, held)  # type: ignore[arg-type]  # as it came

    plane.dial = counted  # type: ignore[method-assign, assignment]  # counted
    async with staged(plane) as stage:
        await trio.sleep(3600)
        assert 60 <= dials <= 240
        assert "unreachable" in stage.uplink.status().trouble
        plane.away = False
        await plane.until(lambda: stage.uplink.status().connected)
        assert stage.uplink.status().attempts == 0
        assert stage.uplink.status().trouble == ""
        assert stage.uplink.status().round_trip is None  # not measured yet: not 0
        await plane.until(lambda: stage.uplink.status().round_trip is not None)


async def test_a_peer_that_cuts_us_off_at_once_is_come_back_to_seldom(
    plane: Plane, autojump_clock: object
) -> None:
    """Each session says some KB that are on the ledger: it must have lasted to count as one."""
    async with staged(plane) as stage:

        async def cut_off() -> None:
            while True:
                await plane.until(lambda: stage.uplink.status().connected)
                plane.cut()
                await plane.until(lambda: not stage.uplink.status().connected)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_off)
            await trio.sleep(3600)
            nursery.cancel_scope.cancel()
        assert 60 <= plane.sessions <= 240
        await plane.until(lambda: stage.uplink.status().connected)
        await trio.sleep(STEADY_AFTER + 1)
        plane.cut()
        began = trio.current_time()
        await plane.until(lambda: not stage.uplink.status().connected)
        await plane.until(lambda: stage.uplink.status().connected)
        assert trio.current_time() - began < 2


async def test_a_control_plane_that_acknowledges_nothing_is_told_of(
    plane: Plane, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The owner reads it in log and status while it lasts; then everything is taken after all."""
    plane.deaf = True
    async with staged(plane) as stage:
        for number in range(MAX_UNANSWERED + 50):
            await plane.push(command(number))
        await trio.sleep(2 * STALL_TIMEOUT)
        kept = await stage.database.transact(_owed)
        assert kept == MAX_UNANSWERED
        assert "acknowledge" in stage.uplink.status().trouble
        assert any("acknowledge" in line.message for line in caplog.records)
        plane.deaf = False
        plane.cut()
        await plane.until(
            lambda: (
                sum(isinstance(x, m.CommandResult) for x in plane.applied) == MAX_UNANSWERED + 50
            )
        )
        assert stage.uplink.status().trouble == ""


def _owed(tx: LinkTx) -> int:
    found: int = tx.execute(
        "SELECT (SELECT count(*) FROM commands WHERE state != 'done')"
        " + (SELECT count(*) FROM outbox WHERE name = 'command_result')"
    ).fetchone()[0]
    return found


async def test_an_outbox_from_a_backup_begins_a_new_stream(
    plane: Plane, autojump_clock: object
) -> None:
    """The control plane has applied ids that this outbox never gave: it goes on as another."""
    async with staged(plane) as stage:
        stage.uplink.raise_alert(AlertCode.LOCKOUT, Severity.INFO)
        await plane.until(lambda: bool(plane.applied))
        first = plane.inbox.stream
        plane.inbox.through += 100
        stage.uplink.raise_alert(AlertCode.LOCKOUT, Severity.INFO)
        plane.cut()
        await plane.until(lambda: plane.inbox.stream != first)
        await plane.until(lambda: len(plane.applied) >= 2)
        assert stage.uplink.status().connected


async def test_a_peer_that_asks_to_spread_is_heard(plane: Plane, autojump_clock: object) -> None:
    """Its agents come back over the time that it names."""
    async with staged(plane) as stage:
        await plane.until(lambda: stage.uplink.status().connected)
        assert plane.session is not None
        plane.session.send_bye(ByeReason.RESTART, plane._now(), spread=50_000)
        plane._stir.set()
        began = trio.current_time()
        await plane.until(lambda: plane.sessions == 2)
        assert trio.current_time() - began < 52
        await plane.until(lambda: stage.uplink.status().connected)


async def test_another_control_plane_begins_from_nothing(
    plane: Plane, autojump_clock: object
) -> None:
    """Enrolled elsewhere: what is owed goes to the new one, nothing of the old one counts."""
    other = Plane(plane.world)
    other.inbox.stream = b"never met this" + b"\0\0"
    async with open_link_database(None, plane.world) as database:
        async with staged(plane, database=database) as stage:
            await plane.push(m.PolicyUpdate(bundle=bundle(1)))
            await plane.until(lambda: bool(plane.applied))
            assert stage.uplink.status().connected
        moved = FakeEnroller(plane.world, _moved(credential(plane.world)))
        async with staged(other, database=database, enroller=moved) as stage:
            stage.uplink.raise_alert(AlertCode.LOCKOUT, Severity.INFO)
            await other.until(lambda: bool(other.applied))
            assert other.inbox.stream != plane.inbox.stream
            assert next(id_ for id_, _ in other.inbox.applied) == 1


def _moved(held: AgentCredential) -> AgentCredential:
    enrolment = replace(held.enrolment, policy_key=b"q" * 32)
    return dataclasses.replace(held, enrolment=enrolment)


async def test_the_next_address_is_tried_when_one_does_not_let_us_in(
    plane: Plane, autojump_clock: object
) -> None:
    """A link that was open comes back to where it was, first."""
    turned = 0

    class Counting(ControlPlaneAddresses):
        """Only counts."""

        def use_next(self) -> None:
            """One more."""
            nonlocal turned
            turned += 1

    async with staged(plane) as stage:
        stage.uplink._connector._addresses = Counting((), plane.world)
        await plane.until(lambda: stage.uplink.status().connected)
        plane.away = True
        plane.cut()
        await plane.until(lambda: not stage.uplink.status().connected)
        assert turned == 0
        await trio.sleep(30)
        assert turned == stage.uplink.status().attempts - 1
        assert turned > 0
