"""One connection: what is acknowledged is durable, and the end has a reason."""

from uuid import UUID

import pytest
import trio
from msgspec.structs import fields, replace

from control.errors import UnavailableError
from control.gateway.agent_connection import (
    HEALTH_CHANGES_PER_MINUTE,
    REGISTRATIONS_PER_MINUTE,
    REPLAY_RESULTS_PER_MINUTE,
    REPORTS_PER_MINUTE,
    VAULTS_PER_MINUTE,
    ConnectionRateLimits,
)
from control.model.agents import Health
from control.store.vault_reports import backups, rotations
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.limits import DEAD_SECONDS
from protocols.pki.names import AgentName
from protocols.pki.profile import AGENT_LIFE, SECOND
from tests.unit.control.gateway.test_link_store import alert, alerts
from tests.unit.control.gateway.wired import Hub, Talk, registration
from tests.unit.control.services.test_replays import told
from vault.control_link.connection import REPLAY_QUERIES_PER_MINUTE
from vault.control_link.policy_replays import MAX_WAITING

BEAT = m.Heartbeat(
    health=words.Health.SEALED,
    uptime=1,
    policy_version=0,
    audit_size=1,
    secrets=1,
    outbox_messages=0,
    outbox_bytes=0,
)


async def test_nothing_is_acknowledged_that_is_not_stored(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails ends the connection; the agent brings it again, and it counts once."""
    one = await hub.enrolled("one")

    async def broken(*_: object) -> None:
        (await hub.live("one")).wake()  # what is due is written while the store is asked
        await trio.testing.wait_all_tasks_blocked()
        raise UnavailableError("store_unavailable", "not now")

    with monkeypatch.context() as patched:
        patched.setattr(hub.ends, "apply_message", broken)
        async with hub.connected(one) as talk:
            await talk.say(alert())
            await talk.until(lambda: talk.ended)
    assert len(one.outbox.entries) == 1
    async with hub.connected(one) as talk:
        await talk.delivered()
    assert await alerts(hub) == [("disk_low", 1)]


async def test_a_backlog_is_taken_in_order_and_once(hub: Hub) -> None:
    """More than a window of it, over two connections of which the first breaks."""
    one = await hub.enrolled("one")
    for _ in range(100):
        await one.outbox.append(alert())
    async with hub.connected(one) as talk:
        await talk.until(lambda: len(one.outbox.entries) < 70)
    async with hub.connected(one) as talk:
        await talk.delivered()
    assert await alerts(hub) == [("disk_low", 100)]


async def test_health_and_phase_are_at_hand(hub: Hub) -> None:
    """As the agent said last."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await talk.say(BEAT)
        await talk.say(m.SyncState(phase=words.SyncPhase.ONLINE, since=1, pending=0, dropped=0))
        live = await hub.live("one")
        with trio.fail_after(30):
            while (live.health, live.sync) != ("sealed", "online"):
                await trio.testing.wait_all_tasks_blocked()


async def test_health_and_phase_are_on_record_at_rest(hub: Hub) -> None:
    """For who looks at the fleet, also when the agent is gone; syncing alone is worth no write."""
    one = await hub.enrolled("one")
    serving = replace(BEAT, health=words.Health.SERVING)

    async def told() -> tuple[object, object]:
        agent = await hub.core.agents.registry.get_agent("acme", "one")
        return agent.health, agent.facts.get("sync")

    async with hub.connected(one) as talk:
        await talk.say(m.SyncState(phase=words.SyncPhase.SYNCING, since=1, pending=0, dropped=0))
        await talk.say(serving)
        await talk.say(alert())
        await talk.delivered()
        assert await told() == ("", None)
        await talk.say(BEAT)  # what is wrong is not waited with
        await talk.say(alert())
        await talk.delivered()
        assert await told() == ("sealed", "syncing")
        await talk.say(m.SyncState(phase=words.SyncPhase.ONLINE, since=1, pending=0, dropped=0))
        await talk.say(alert())
        await talk.delivered()
        assert await told() == ("sealed", "online")
    async with hub.connected(one) as talk:
        await talk.say(alert())
        await talk.delivered()
    assert await told() == ("sealed", "online")


async def test_workers_that_fail_are_an_alert_until_they_are_steady(hub: Hub) -> None:
    """Beside what the list of conditions says; the next word of them ends it."""
    one = await hub.enrolled("one")
    serving = replace(BEAT, health=words.Health.SERVING)

    async def open_alerts(state: words.WorkersState, *codes: words.AlertCode) -> set[str]:
        await talk.say(m.Conditions(codes=codes))
        await talk.say(m.Workers(state=state))
        await talk.say(serving)
        await talk.say(alert())
        await talk.delivered()
        found = await hub.core.agents.alerts.list_alerts("acme", vault="one", before=0, limit=9)
        return {row.code for row in found if not row.ended_at} - {"disk_low"}

    failing, steady = words.WorkersState.FAILING, words.WorkersState.STEADY
    async with hub.connected(one) as talk:
        await talk.say(m.SyncState(phase=words.SyncPhase.ONLINE, since=1, pending=0, dropped=0))
        assert await open_alerts(failing) == {"workers_failing"}
        both = {"workers_failing", "store_failed"}
        assert await open_alerts(failing, words.AlertCode.STORE_FAILED) == both
        assert await open_alerts(steady) == set()


async def test_key_providers_that_fail_are_an_alert_until_they_do_not(hub: Hub) -> None:
    """The next word of them ends it."""
    one = await hub.enrolled("one")

    async def open_alerts(state: words.KeyProvidersState) -> set[str]:
        await talk.say(m.Conditions(codes=()))
        await talk.say(m.KeyProviders(state=state))
        await talk.say(replace(BEAT, health=words.Health.SERVING))
        await talk.say(alert())
        await talk.delivered()
        found = await hub.core.agents.alerts.list_alerts("acme", vault="one", before=0, limit=9)
        return {row.code for row in found if not row.ended_at} - {"disk_low"}

    async with hub.connected(one) as talk:
        await talk.say(m.SyncState(phase=words.SyncPhase.ONLINE, since=1, pending=0, dropped=0))
        assert await open_alerts(words.KeyProvidersState.FAILING) == {"key_provider_failed"}
        assert await open_alerts(words.KeyProvidersState.STEADY) == set()


async def test_the_vault_of_an_agent_is_on_record(hub: Hub) -> None:
    """As it says; one that says it again and again is cut off."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await talk.say(m.Vault(vault=b"v" * 16))
        await talk.say(alert())
        await talk.delivered()
        found = await hub.core.agents.registry.get_agent("acme", "one")
        assert found.vault_id == str(UUID(bytes=b"v" * 16))
        for _ in range(2):
            await talk.say(m.Vault(vault=b"w" * 16))
        await talk.until(lambda: talk.ended)


async def test_the_backups_of_an_agent_are_on_record(hub: Hub) -> None:
    """As it says, also the next ones; more of them in a minute than the limit end nothing."""
    one = await hub.enrolled("one")
    said = m.Backups(
        state=words.BackupState.FAILED, newest=5, proven=4, count=3, period=60, rto=2, rpo=1,
        certificate=b"c" * 32,
    )  # fmt: skip
    async with hub.connected(one) as talk:
        for count in range(2 * REPORTS_PER_MINUTE):
            await talk.say(replace(said, count=count))
        await talk.say(alert())
        await talk.delivered()
        records = await hub.core.store.read(lambda tx: backups.get_records(tx, "acme", ["one"]))
        row = records["one"]
        assert (row.state, row.newest, row.proven) == ("failed", 5_000_000, 4_000_000)
        assert (row.count, row.period, row.rto, row.rpo) == (REPORTS_PER_MINUTE - 1, 60, 2, 1)
        assert row.certificate == b"c" * 32
        hub.world.advance(20)
        last = replace(said, count=2 * REPORTS_PER_MINUTE - 1)
        await talk.say(last)
        await talk.say(alert())
        await talk.delivered()
        records = await hub.core.store.read(lambda tx: backups.get_records(tx, "acme", ["one"]))
        assert records["one"].count == last.count


async def test_what_an_agent_says_of_its_clients_is_stored_with_its_rotations(hub: Hub) -> None:
    """The latest of them; a change of theirs is news though the rotations are as before."""
    one = await hub.enrolled("one")
    numbers = {each.name: 0 for each in fields(m.Rotations) if each.name != "notices"}
    counted = m.Rotations(**numbers, notices=())
    async with hub.connected(one) as talk:
        for clients in (None, m.Clients(lagging=1, unrenewed=2), m.Clients(lagging=0, unrenewed=3)):
            if clients is not None:
                await talk.say(clients)
            await talk.say(counted)
            await talk.say(alert())
            await talk.delivered()
            records = await hub.core.store.read(
                lambda tx: rotations.get_records(tx, "acme", ["one"])
            )
            wanted = (0, 0) if clients is None else (clients.lagging, clients.unrenewed)
            assert (records["one"].lagging, records["one"].unrenewed) == wanted


async def test_an_agent_that_knows_more_than_we_gave_gets_a_new_stream(hub: Hub) -> None:
    """Our database is an older copy; what is owed comes in the new stream."""
    one = await hub.enrolled("one")
    link = await hub.ends.open_link(AgentName("acme", "one"))
    one.inbox.stream, one.inbox.through = link.stream, 40
    await hub.core.agents.commands.send_command(
        "acme", "one", words.CommandName.SEND_METRICS, "ann"
    )
    async with hub.connected(one) as talk:
        await talk.until(lambda: talk.ended)
    async with hub.connected(one) as talk:
        await talk.until(lambda: one.heard)
    assert one.inbox.stream != link.stream
    assert [type(x) for x in one.heard] == [m.Command]


async def test_a_session_ends_with_its_certificate(hub: Hub) -> None:
    """Whoever did not renew has to come back, and is asked again whether it counts."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await hub.live("one")
        await trio.testing.wait_all_tasks_blocked()
        hub.world.advance(AGENT_LIFE / SECOND)
        await talk.until(lambda: talk.ended)


async def test_a_silent_agent_is_dead_after_a_while(hub: Hub) -> None:
    """Half-open connections do not stay."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await hub.live("one")
        await trio.testing.wait_all_tasks_blocked()
        talk.pipe.receive = trio.sleep_forever  # type: ignore[assignment]  # it hears nothing
        hub.world.advance(DEAD_SECONDS + 1)
        with trio.fail_after(30):
            while len(hub.gateway.connections):
                await trio.testing.wait_all_tasks_blocked()
    assert hub.gateway.faults == 1


async def test_nothing_is_kept_of_connections_that_ended_without_a_word(hub: Hub) -> None:
    """However they ended: nobody looks after them any more once they would have been due."""
    one = await hub.enrolled("one")
    for _ in range(3):
        async with hub.connected(one) as talk:
            await hub.live("one")
            await trio.testing.wait_all_tasks_blocked()
            assert len(hub.gateway.deadlines)
            await talk.pipe.aclose()
    async with hub.connected(one):
        live = await hub.live("one")
        await trio.testing.wait_all_tasks_blocked()
        hub.gateway.connections.disconnect(live.name)
        with trio.fail_after(30):
            while len(hub.gateway.connections):
                await trio.testing.wait_all_tasks_blocked()
    for _ in range(2):
        hub.world.advance(DEAD_SECONDS)
        await trio.testing.wait_all_tasks_blocked()
    assert len(hub.gateway.deadlines) == 0


async def test_who_registers_again_and_again_is_cut_off(hub: Hub) -> None:
    """Each time is a write, and has its bundle sent anew: once in a minute of a session."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await passing(hub, talk, 60)
        await talk.say(registration(one))
        await passing(hub, talk, 50)
        assert not talk.ended
        await talk.say(registration(one))
        await talk.until(lambda: talk.ended)
    assert hub.gateway.faults == 1
    async with hub.connected(one) as talk:  # it may come back, and begin again
        await passing(hub, talk, 10)


async def passing(hub: Hub, talk: Talk, seconds: int) -> None:
    """What was said is taken; so much time goes by, in which neither side is silent for long."""
    for _ in range(0, seconds, 10):
        await talk.say(alert())
        await talk.delivered()
        hub.world.advance(10)


async def test_health_that_changes_all_the_time_is_written_at_a_pace(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link stays; what is so in the end is on record with the next heartbeat."""
    one = await hub.enrolled("one")
    said: list[str] = []

    async def note(_: AgentName, health: str, sync: str, codes: frozenset[str] | None) -> Health:
        said.append(health)
        return Health(health)

    monkeypatch.setattr(hub.ends, "record_health", note)
    serving = replace(BEAT, health=words.Health.SERVING)
    async with hub.connected(one) as talk:
        await talk.say(m.SyncState(phase=words.SyncPhase.ONLINE, since=1, pending=0, dropped=0))
        for _ in range(HEALTH_CHANGES_PER_MINUTE):
            await talk.say(BEAT)
            await talk.say(serving)
        await talk.say(alert())
        await talk.delivered()
        assert len(said) == HEALTH_CHANGES_PER_MINUTE
        await talk.say(BEAT)
        await talk.say(alert())
        await talk.delivered()
        hub.world.advance(10)
        await talk.say(BEAT)
        await talk.say(alert())
        await talk.delivered()
        assert (len(said), said[-1]) == (HEALTH_CHANGES_PER_MINUTE + 1, "sealed")


async def test_who_answers_what_nobody_asked_is_cut_off(hub: Hub) -> None:
    """Each answer is a write, whether there is a question or not."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await hub.live("one")
        for _ in range(REPLAY_RESULTS_PER_MINUTE):
            await talk.say(told("00" * 16))
        await talk.say(alert())
        await talk.delivered()
        await talk.say(told("00" * 16))
        await talk.until(lambda: talk.ended)
    assert hub.gateway.faults == 1


async def test_the_last_words_of_one_that_was_ended_count_not(hub: Hub) -> None:
    """Else it would be among those watched, as one that is not heard, until the next start."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await talk.say(alert())
        await talk.delivered()
        assert hub.core.presence.status_of("acme", "one") is not None
        hub.core.presence.forget("acme", "one")  # as it is locked, before its connection is cut
        await talk.say(alert())
        await talk.delivered()
    assert hub.core.presence.status_of("acme", "one") is None


def test_each_has_its_own() -> None:
    """So much at once, and as much a minute from then on; one does not use up another's."""
    paces = ConnectionRateLimits.unused(5.0)
    for now in (5.0, 65.0):
        taken = [sum(pace.try_consume(now) for _ in range(200)) for pace in paces]
        assert taken == [
            REGISTRATIONS_PER_MINUTE,
            HEALTH_CHANGES_PER_MINUTE,
            REPLAY_RESULTS_PER_MINUTE,
            VAULTS_PER_MINUTE,
            REPORTS_PER_MINUTE,
            REPORTS_PER_MINUTE,
        ]


def test_no_honest_agent_answers_as_fast() -> None:
    """As many as it takes questions, and those that it was at before."""
    assert REPLAY_RESULTS_PER_MINUTE > REPLAY_QUERIES_PER_MINUTE + MAX_WAITING
