"""The uplink as a whole, against a control plane that speaks the protocol."""

from typing import Any

import pytest
import trio

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.signing import channel_digest
from tests.support.trio_world import TrioWorld
from tests.unit.vault.control_link.plane import Plane
from tests.unit.vault.control_link.samples import bundle, credential, digest_of, fixed
from tests.unit.vault.control_link.scene import FakeEnroller, FakeHost, staged
from vault.control_link import message_factory
from vault.control_link.client import HEALTH_CHECK_INTERVAL
from vault.control_link.database import open_link_database
from vault.control_link.dependencies import LinkConfig
from vault.model.backup import BackupReport, BackupState, RestoreProof
from vault.model.rotation_report import LeaseStates, RotationNotice, RotationReport


@pytest.fixture
def plane() -> Plane:
    """A control plane on Trio's clock, which jumps in each test."""
    return Plane(TrioWorld())


def of(kind: type[Any], messages: list[m.Message]) -> list[Any]:
    """The messages of one kind."""
    return [message for message in messages if isinstance(message, kind)]


async def test_it_connects_and_tells_of_itself(plane: Plane, autojump_clock: object) -> None:
    """Within a moment the agent is registered and online; then it beats and reports."""
    async with staged(plane) as stage:
        await plane.until(lambda: bool(of(m.Heartbeat, plane.heard)))
        assert isinstance(plane.heard[0], m.Registration)
        await plane.until(lambda: stage.uplink.status().state == "online")
        status = stage.uplink.status()
        assert (status.standing, status.connected, status.org) == ("enrolled", True, "acme")
        assert (status.health, status.faults) == ("serving", 0)
        phases = [told.phase for told in of(m.SyncState, plane.heard)]
        assert phases == [words.SyncPhase.SYNCING, words.SyncPhase.ONLINE]
        await trio.sleep(600)
        assert len(of(m.Heartbeat, plane.heard)) >= 9
        assert len(of(m.Metrics, plane.applied)) >= 9
        assert plane.sessions == 1


async def test_a_bundle_is_applied_and_reported(plane: Plane, autojump_clock: object) -> None:
    """Pushed, applied through the vault, reported as applied with what the ceiling cut."""
    async with staged(plane) as stage:
        await plane.push(m.PolicyUpdate(bundle=bundle(1)))
        await plane.until(lambda: bool(of(m.PolicyStatus, plane.applied)))
        told = of(m.PolicyStatus, plane.applied)[0]
        assert (told.version, told.phase, told.narrowed) == (1, words.PolicyPhase.APPLIED, 1)
        assert told.bundle_hash == digest_of(bundle(1))
        assert stage.host.applied == [bundle(1)]


async def test_a_sealed_vault_is_linked_and_applies_later(
    plane: Plane, autojump_clock: object
) -> None:
    """Sealed is told, what cannot be done waits, and is done once the vault is open."""
    host = FakeHost(plane.world, is_open=False)
    async with staged(plane, host=host) as stage:
        await plane.push(m.PolicyUpdate(bundle=bundle(1)))
        await plane.until(lambda: not plane.outbox.entries)
        await trio.sleep(60)
        assert plane.heard[-1].health is words.Health.SEALED  # type: ignore[attr-defined]
        assert not host.applied
        assert stage.uplink.status().state == "syncing"
        host.is_open = True
        await plane.until(lambda: bool(of(m.PolicyStatus, plane.applied)))
        await plane.until(lambda: bool(of(m.Alert, plane.applied)))
        assert of(m.Alert, plane.applied)[0].code is words.AlertCode.UNSEALED
        assert stage.uplink.status().state == "online"


async def test_a_use_of_break_glass_before_the_start_is_reported(
    plane: Plane, autojump_clock: object
) -> None:
    """Once, as critical, with the time of the use."""
    host = FakeHost(plane.world, vault=bytes(16), break_glass_uses=1)
    async with staged(plane, host=host):
        await plane.until(lambda: bool(of(m.Alert, plane.applied)))
        await trio.sleep(120)
        [told] = of(m.Alert, plane.applied)
        assert (told.code, told.severity) == (words.AlertCode.UNSEALED, words.Severity.CRITICAL)
        assert told.raised_at == 0


async def test_hours_offline_lose_and_repeat_nothing(plane: Plane, autojump_clock: object) -> None:
    """Back after hours: alerts all there once, order kept, the oldest metrics gone and told."""
    config = LinkConfig(outbox_bytes=16 * 1024)
    async with staged(plane, config=config) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        plane.away = True
        plane.cut()
        for hour in range(6):
            stage.uplink.raise_alert(words.AlertCode.LOCKOUT, words.Severity.WARNING)
            await trio.sleep(3600)
            assert stage.uplink.status().state == "queueing", hour
        status = stage.uplink.status()
        assert status.dropped > 0
        assert status.outbox_bytes <= 16 * 1024
        plane.away = False
        await plane.until(lambda: stage.uplink.status().state == "online")
        await plane.until(lambda: not stage.uplink.status().outbox_messages or plane.away)
        alerts = of(m.Alert, plane.applied)
        codes = words.AlertCode
        assert sum(a.count for a in alerts if a.code is codes.LOCKOUT) == 6
        assert sum(a.count for a in alerts if a.code is codes.METRICS_DROPPED) == 1
        ids = [id_ for id_, _ in plane.inbox.applied]
        assert ids == sorted(set(ids))
        waiting = [
            next(g.value for g in told.gauges if g.name is words.GaugeName.OUTBOX_BYTES)
            for told in of(m.Metrics, plane.applied)
        ]
        assert 8 * 1024 < max(waiting) <= 16 * 1024  # what it was while nobody heard it


async def test_a_commands_effect_is_once_whatever_is_cut(
    plane: Plane, autojump_clock: object
) -> None:
    """A command repeated under new ids, over cuts, runs once and is answered once."""
    command = m.Command(
        command_id=fixed("c"), command=words.CommandName.ROTATE_KEK, expires_at=2**60
    )
    config = LinkConfig(allowed=(words.CommandName.ROTATE_KEK,))
    async with staged(plane, config=config) as stage:
        for _ in range(3):
            await plane.push(command)
            await plane.until(lambda: not plane.outbox.entries)
            plane.cut()
        await plane.until(lambda: bool(of(m.CommandResult, plane.applied)))
        await trio.sleep(120)
        assert stage.host.rotations == 1
        results = of(m.CommandResult, plane.applied)
        assert [r.outcome for r in results] == [words.CommandOutcome.DONE]


async def test_a_renewed_certificate_is_used_at_once(plane: Plane, autojump_clock: object) -> None:
    """The session ends in order, and the next one is as the new certificate's."""
    enroller = FakeEnroller(plane.world, credential(plane.world, life=600))
    async with staged(plane, enroller=enroller) as stage:
        await trio.sleep(900)
        assert enroller.renewals >= 1
        status = stage.uplink.status()
        assert (status.generation, status.connected) == (enroller.renewals + 1, True)
        assert plane.sessions == enroller.renewals + 1


async def test_nothing_is_sent_that_is_not_on_the_ledger(
    plane: Plane, autojump_clock: object
) -> None:
    """Every frame on the wire was recorded before, in its order."""
    async with staged(plane) as stage:
        await plane.push(m.PolicyUpdate(bundle=bundle(1)))
        await trio.sleep(300)
        assert plane.wire
        assert stage.egress.entries[: len(plane.wire)] == plane.wire


async def test_what_goes_wrong_is_an_alert_once(plane: Plane, autojump_clock: object) -> None:
    """When it begins, not at every look, and again when it comes back."""
    host = FakeHost(plane.world)
    async with staged(plane, host=host):
        for troubles in ({words.AlertCode.AUDIT_TAMPERED}, set(), {words.AlertCode.AUDIT_TAMPERED}):
            host.troubles = frozenset(troubles)
            await trio.sleep(120)
        codes = [alert.code for alert in of(m.Alert, plane.applied)]
        assert codes == [words.AlertCode.AUDIT_TAMPERED] * 2


async def test_what_changes_of_its_health_is_said_at_once(
    plane: Plane, autojump_clock: object
) -> None:
    """Not with the next heartbeat only: what is wrong, then how the vault is."""
    host = FakeHost(plane.world)
    async with staged(plane, host=host) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        assert of(m.Conditions, plane.heard)[-1].codes == ()
        before = len(plane.heard)
        host.troubles = frozenset({words.AlertCode.AUDIT_SINK_FAILED})
        await trio.sleep(2 * HEALTH_CHECK_INTERVAL)
        conditions, workers, beat = plane.heard[before : before + 3]
        assert isinstance(conditions, m.Conditions)
        assert conditions.codes == (words.AlertCode.AUDIT_SINK_FAILED,)
        assert workers == m.Workers(state=words.WorkersState.STEADY)
        assert isinstance(beat, m.Heartbeat)
        host.workers = words.WorkersState.FAILING
        await trio.sleep(2 * HEALTH_CHECK_INTERVAL)
        assert of(m.Workers, plane.heard)[-1] == m.Workers(state=words.WorkersState.FAILING)
        assert of(m.KeyProviders, plane.heard) == []
        for state in words.KeyProvidersState:
            host.key_providers = state
            await trio.sleep(2 * HEALTH_CHECK_INTERVAL)
            assert of(m.KeyProviders, plane.heard)[-1] == m.KeyProviders(state=state)


async def test_it_says_how_its_backups_do(plane: Plane, autojump_clock: object) -> None:
    """Once the vault was open, at once when that changes, and before each heartbeat."""
    host = FakeHost(plane.world)
    async with staged(plane, host=host) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        assert of(m.Backups, plane.heard) == []
        report = BackupReport(BackupState.GOOD, 5_000_000, 4_000_000, 3)
        proof = RestoreProof(rto=2, rpo=1, certificate=b"c" * 32)
        host.backups = message_factory.backups(report, proof, 60)
        await trio.sleep(2 * HEALTH_CHECK_INTERVAL)
        told = m.Backups(
            state=words.BackupState.GOOD, newest=5, proven=4, count=3, period=60, rto=2, rpo=1,
            certificate=b"c" * 32,
        )  # fmt: skip
        assert of(m.Backups, plane.heard) == [told]
        plane.cut()
        await trio.sleep(600)
        assert set(of(m.Backups, plane.heard)) == {told}
        assert len(of(m.Backups, plane.heard)) > 5


async def test_it_says_how_its_rotations_do(plane: Plane, autojump_clock: object) -> None:
    """At once when that changes; names and channels stay here."""
    host = FakeHost(plane.world)
    report = RotationReport(
        at=10**9, policies=2, stuck=1, leases=LeaseStates(active=3),
        notices=(
            RotationNotice(
                notice=b"n" * 16, secret=b"s" * 16, event=words.RotationEvent.STUCK,
                channels=("on call",),
            ),
        ),
    )  # fmt: skip
    async with staged(plane, host=host) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        for with_ids, secret in ((False, bytes(16)), (True, b"s" * 16)):
            host.rotations_report = message_factory.rotations(report, with_ids=with_ids)
            await trio.sleep(2 * HEALTH_CHECK_INTERVAL)
            said = of(m.Rotations, plane.heard)[-1]
            assert (said.at, said.policies, said.stuck, said.leases) == (1000, 2, 1, 3)
            [notice] = said.notices
            assert (notice.secret, notice.channels) == (secret, (channel_digest("on call"),))


async def test_it_says_how_its_clients_do_before_its_rotations(
    plane: Plane, autojump_clock: object
) -> None:
    """The control plane stores both with the second; one of version 8 has the second as before."""
    report = RotationReport(at=10**9, lagging=2, leases=LeaseStates(unrenewed=3))
    host = FakeHost(plane.world, clients=message_factory.clients(report))
    host.rotations_report = message_factory.rotations(report, with_ids=False)
    async with staged(plane, host=host):
        await plane.until(lambda: bool(of(m.Rotations, plane.heard)))
        kinds = [type(said) for said in plane.heard if isinstance(said, m.Clients | m.Rotations)]
        assert kinds[:2] == [m.Clients, m.Rotations]
        assert of(m.Clients, plane.heard)[0] == m.Clients(lagging=2, unrenewed=3)


async def test_a_control_plane_of_version_8_hears_nothing_of_clients(
    plane: Plane, autojump_clock: object
) -> None:
    """Of rotations as before; its session does not end for it."""
    plane.versions = (1, 2, 3, 4, 5, 6, 7, 8)
    host = FakeHost(plane.world, clients=m.Clients(lagging=1, unrenewed=1))
    host.rotations_report = message_factory.rotations(RotationReport(at=1), with_ids=False)
    async with staged(plane, host=host):
        await plane.until(lambda: len(of(m.Rotations, plane.heard)) > 1)
        assert of(m.Clients, plane.heard) == []
        assert plane.sessions == 1


async def test_an_older_control_plane_hears_nothing_of_backups(
    plane: Plane, autojump_clock: object
) -> None:
    """Everything else as before; its session does not end for it."""
    plane.versions = (1, 2, 3, 4, 5)
    host = FakeHost(plane.world, vault=b"v" * 16)
    host.backups = message_factory.backups(
        BackupReport(BackupState.LATE, 5, 4, 3), RestoreProof(), 60
    )
    host.rotations_report = message_factory.rotations(RotationReport(at=1), with_ids=True)
    async with staged(plane, host=host):
        await plane.until(lambda: bool(of(m.Vault, plane.heard)))
        await trio.sleep(600)
        assert of(m.Backups, plane.heard) == of(m.Rotations, plane.heard) == []
        assert len(of(m.Workers, plane.heard)) > 5
        assert plane.sessions == 1


async def test_it_says_its_vault_once_a_connection(plane: Plane, autojump_clock: object) -> None:
    """At the beginning, or when it is initialized; an agent without a vault says none."""
    host = FakeHost(plane.world)
    async with staged(plane, host=host) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        assert of(m.Vault, plane.heard) == []
        host.vault, host.workers = b"v" * 16, words.WorkersState.FAILING
        await trio.sleep(600)
        assert of(m.Vault, plane.heard) == [m.Vault(vault=b"v" * 16)]
        plane.cut()
        await trio.sleep(600)
        assert plane.sessions == 2
        assert of(m.Vault, plane.heard) == [m.Vault(vault=b"v" * 16)] * 2


async def test_a_registration_has_the_hash_of_another_nodes_bundle(
    plane: Plane, autojump_clock: object
) -> None:
    """With version 0, which is the agent's own: so the control plane offers it no older one."""
    host = FakeHost(plane.world, bundle_hash=b"b" * 32)
    async with staged(plane, host=host):
        await plane.until(lambda: bool(of(m.Registration, plane.heard)))
        [said] = of(m.Registration, plane.heard)
        assert (said.policy_version, said.policy_hash) == (0, b"b" * 32)


async def test_it_says_goodbye(plane: Plane, autojump_clock: object) -> None:
    """At an orderly stop what is owed arrives first, and no session follows."""
    async with staged(plane) as stage:
        await plane.until(lambda: stage.uplink.status().state == "online")
        await stage.uplink.shut_down()
        assert plane.session is not None
        await trio.sleep(300)
        assert plane.session.is_ended
        assert plane.sessions == 1


async def test_an_alert_of_the_last_moment_arrives_with_the_next_start(
    plane: Plane, autojump_clock: object
) -> None:
    """It is raised just before the agent stops, which is not linked: the outbox has it."""
    async with open_link_database(None, plane.world) as database:
        async with staged(plane, database=database) as stage:
            stage.uplink.raise_alert(words.AlertCode.STORE_TAMPERED, words.Severity.CRITICAL)
            await stage.uplink.shut_down()
        async with staged(plane, database=database):
            await plane.until(lambda: bool(of(m.Alert, plane.applied)))


async def test_it_says_more_while_somebody_looks(plane: Plane, autojump_clock: object) -> None:
    """At once, every five seconds, and no longer than asked for; nothing of it is durable."""
    async with staged(plane):
        await plane.until(lambda: bool(of(m.Heartbeat, plane.heard)))
        assert plane.session is not None
        await trio.sleep(100)
        assert not of(m.Glimpse, plane.heard)
        plane.session.send_message(m.Observe(seconds=20))
        plane._stir.set()
        await trio.sleep(1)
        assert [node.name for node in of(m.Glimpse, plane.heard)[0].nodes] == [
            words.ActorName.AGENT
        ]
        await trio.sleep(100)
        assert 4 <= len(of(m.Glimpse, plane.heard)) <= 5
        assert not of(m.Glimpse, plane.applied)


async def test_looking_goes_on_as_long_as_it_is_asked_for(
    plane: Plane, autojump_clock: object
) -> None:
    """Each `Observe` counts from its own moment; more often asked is not more often told."""
    async with staged(plane):
        await plane.until(lambda: bool(of(m.Heartbeat, plane.heard)))
        assert plane.session is not None
        for _ in range(20):
            plane.session.send_message(m.Observe(seconds=20))
            plane._stir.set()
            await trio.sleep(3)
        assert 11 <= len(of(m.Glimpse, plane.heard)) <= 14
