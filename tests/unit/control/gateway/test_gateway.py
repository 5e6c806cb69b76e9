"""Agents are admitted, brought what is theirs, and cut when they no longer count."""

from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.gateway.gateway import RESYNC_INTERVAL
from control.model.agents import Life, Presence
from control.model.links import AgentLink
from control.model.policies import Outcome, Plan, Target
from control.model.policy_documents import Document, Rule
from control.services.agent_registry import change_agent_life
from control.services.event_bus import Topic
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.errors import TransportError
from protocols.link.limits import VERSIONS
from protocols.pki.names import AgentName
from tests.unit.control.gateway.wired import Hub

NEW: Final[dict[str, Any]] = {"vault": "one", "before": 0, "limit": 9}
RULE = Rule(effect="allow", paths=("secret/*",), capabilities=("read",))


async def pushed(hub: Hub, text: str) -> str:
    """The next version of a policy for everybody, rolled out at once; the roll-out's id."""
    policies, rollouts = hub.plane.policies, hub.plane.rollouts
    made = await policies.write_version(
        "acme", "p", Document(description=text, rules=(RULE,)), "", "x"
    )
    if made.version == 1:
        await policies.set_targets("acme", "p", (Target(all=True),))
    started = await rollouts.start_rollout("acme", "p", made.version, Plan(), "x")
    await policies.refresh_due()
    return started.id


async def outcome(hub: Hub, vault: str) -> tuple[Outcome, int]:
    """What is on record of the agent's bundle."""
    row = await hub.plane.policies.get_assignment("acme", vault)
    assert row is not None
    return row.outcome, row.applied


async def test_agents_of_the_links_first_version_are_served_beside_new_ones(hub: Hub) -> None:
    """Each in its own: a policy, a glimpse, what they say; nobody's session ends for it."""
    old, new = await hub.enrolled("one"), await hub.enrolled("two")
    old.versions = (1,)
    async with hub.connected(old) as first, hub.connected(new) as second:
        await pushed(hub, "v1")
        for vault, talk, version in ((old, first, 1), (new, second, max(VERSIONS))):
            name = vault.grant.vault
            await talk.until(lambda vault=vault: vault.bundles == [1])
            await talk.delivered()
            assert talk.session is not None
            assert talk.session.version == version
            (await hub.live(name)).observe(5)
            await talk.until(lambda vault=vault: m.Observe(seconds=5) in vault.heard)
            assert await outcome(hub, name) == (Outcome.APPLIED, 1)
            assert not talk.ended


async def test_a_policy_reaches_every_live_agent_and_is_shown_as_applied(hub: Hub) -> None:
    """Each gets its own bundle, once, and what it says of it is on record."""
    one, two = await hub.enrolled("one"), await hub.enrolled("two")
    async with hub.connected(one) as first, hub.connected(two) as second:
        await pushed(hub, "v1")
        await first.until(lambda: one.bundles == [1])
        await second.until(lambda: two.bundles == [1])
        await first.delivered()
        await second.delivered()
        for vault in ("one", "two"):
            assert await outcome(hub, vault) == (Outcome.APPLIED, 1)
        await hub.plane.rollouts.advance_running()
        assert [p.stable for p in await hub.plane.policies.list_policies("acme")] == [1]


async def test_an_agent_that_was_away_gets_the_newest_alone(hub: Hub) -> None:
    """What was superseded meanwhile is skipped, not sent."""
    one = await hub.enrolled("one")
    await pushed(hub, "v1")
    await hub.plane.rollouts.advance_running()
    async with hub.connected(one) as talk:
        await talk.until(lambda: one.bundles == [1])
        await talk.delivered()
    await hub.plane.rollouts.advance_running()
    await hub.plane.rollouts.roll_back_rollout("acme", await pushed(hub, "v2"), "no")
    await hub.plane.policies.refresh_due()
    async with hub.connected(one) as talk:
        await talk.until(lambda: one.bundles == [1, 3])
        await talk.delivered()
        assert await outcome(hub, "one") == (Outcome.APPLIED, 3)


async def test_a_refusal_is_that_agents_failure(hub: Hub) -> None:
    """With its reason, and the roll-out halts."""
    one = await hub.enrolled("one")
    one.refuse = True
    async with hub.connected(one) as talk:
        await pushed(hub, "v1")
        await talk.until(lambda: one.outbox.newest and not one.outbox.entries)
        row = await hub.plane.policies.get_assignment("acme", "one")
        assert row is not None
        assert (row.outcome, row.reason) == (Outcome.FAILED, "above_ceiling")
        await hub.plane.rollouts.advance_running()
        [rollout] = await hub.plane.rollouts.list_rollouts("acme", "p", 5)
        assert rollout.state == "halted"


async def test_an_agent_that_lost_its_bundle_gets_it_again(hub: Hub) -> None:
    """Its registration says what it enforces; what it had acknowledged does not count then."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await pushed(hub, "v1")
        await talk.until(lambda: one.bundles == [1])
        await talk.delivered()
    one.stored = type(one.stored)()
    async with hub.connected(one) as talk:
        await talk.until(lambda: one.bundles == [1, 1])


async def test_a_word_makes_an_agent_online(hub: Hub) -> None:
    """From the moment that it has proven itself."""
    one = await hub.enrolled("one")
    async with hub.connected(one):
        found = await hub.plane.agents.get_agent("acme", "one")
        assert found.presence is Presence.ONLINE


async def test_a_locked_agent_is_cut_at_once_and_stays_out(hub: Hub) -> None:
    """By a person's lock, which revokes its certificates."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await hub.plane.agents.change_life("acme", "one", Life.LOCKED, "lost")
        await talk.until(lambda: talk.ended)
    async with hub.connected(one) as talk:
        await talk.until(lambda: talk.ended)
        assert not talk.opened
    assert (hub.gateway.refused, len(hub.gateway.connections)) == (1, 0)


async def test_a_revocation_cuts_too(hub: Hub) -> None:
    """The CA's own word, through the aftermath."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await hub.office.revocation.lock_agent(AgentName("acme", "one"), "stolen")
        await talk.until(lambda: talk.ended)


async def test_who_was_replaced_is_cut_at_once_and_stays_out(hub: Hub) -> None:
    """A machine is stolen while it is linked: the next policy is for the one enrolled instead."""
    old = await hub.enrolled("one")
    async with hub.connected(old) as stolen:
        new = await hub.enrolled("one")
        await stolen.until(lambda: stolen.ended)
        async with hub.connected(old) as again:
            await again.until(lambda: again.ended)
            assert not again.opened
        async with hub.connected(new) as talk:
            await pushed(hub, "v1")
            await talk.until(lambda: new.bundles == [1])
            assert not talk.ended
    assert old.bundles == []


async def test_late_word_of_who_was_replaced_spares_the_new_one(hub: Hub) -> None:
    """It is connected already when another process' word arrives; the old one would be cut."""
    with hub.plane.bus.subscribe(Topic.LIFE) as lives:
        await hub.enrolled("one")
        new = await hub.enrolled("one")
        (word,), _ = await lives.receive()
    await trio.testing.wait_all_tasks_blocked()  # the gateway has had it, too
    async with hub.connected(new) as talk:
        await hub.live("one")
        hub.plane.bus.publish(word)
        await trio.testing.wait_all_tasks_blocked()
        assert not talk.ended
        async with hub.connected(await hub.renewed(new)) as later:
            await talk.until(lambda: talk.ended)
            hub.plane.bus.publish(word)
            await trio.testing.wait_all_tasks_blocked()
            assert not later.ended
            hub.plane.bus.publish(replace(word, generation=0))
            await later.until(lambda: later.ended)


async def test_who_is_locked_while_it_connects_is_not_missed(hub: Hub) -> None:
    """Admitted, then locked elsewhere, then heard: the next look around ends and forgets it."""
    one, begin = await hub.enrolled("one"), hub.ends.open_link

    async def locked(name: AgentName) -> AgentLink:
        link = await begin(name)
        await hub.plane.store.write(
            lambda tx: change_agent_life(tx, "acme", "one", Life.LOCKED, "", now=hub.world.now())
        )
        return link

    hub.ends.open_link = locked  # type: ignore[method-assign]
    async with hub.connected(one) as talk:
        await hub.live("one")
        assert hub.plane.presence.status_of("acme", "one") is not None
        await hub.gateway.disconnect_inactive()
        await talk.until(lambda: talk.ended)
    assert hub.plane.presence.status_of("acme", "one") is None


async def test_who_was_replaced_elsewhere_is_found(hub: Hub, world: FakeWorld) -> None:
    """Without an event, by the certificate that was revoked; the one enrolled instead stays."""
    old, two = await hub.enrolled("one"), await hub.enrolled("two")
    async with hub.connected(old) as stolen, hub.connected(two) as other:
        hub.plane.bus.publish = lambda *_: None  # type: ignore[method-assign]
        new = await hub.enrolled("one")
        await trio.testing.wait_all_tasks_blocked()
        assert not stolen.ended
        world.advance(RESYNC_INTERVAL)
        await stolen.until(lambda: stolen.ended)
        async with hub.connected(new) as talk:
            await hub.renewed(new)
            await hub.gateway.disconnect_inactive()
            await trio.testing.wait_all_tasks_blocked()
            assert not talk.ended
            assert not other.ended


async def test_what_another_process_has_changed_is_found(hub: Hub, world: FakeWorld) -> None:
    """Without an event: a lock and a bundle are seen at the next look around."""
    one, two = await hub.enrolled("one"), await hub.enrolled("two")
    async with hub.connected(one) as first, hub.connected(two) as second:
        hub.plane.bus.publish = lambda *_: None  # type: ignore[method-assign]
        await hub.plane.agents.change_life("acme", "one", Life.LOCKED, "")
        await pushed(hub, "v1")
        await trio.testing.wait_all_tasks_blocked()
        assert not first.ended
        world.advance(RESYNC_INTERVAL)
        await first.until(lambda: first.ended)
        await second.until(lambda: two.bundles == [1])


async def test_a_second_connection_supersedes_the_first(hub: Hub) -> None:
    """The first is told; the second gets what comes."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as first, hub.connected(one) as second:
        await first.until(lambda: first.ended)
        assert first.left is words.ByeReason.REPLACED
        await pushed(hub, "v1")
        await second.until(lambda: one.bundles == [1])
    assert len(hub.gateway.connections) == 0


async def test_a_copied_certificate_locks_the_agent(hub: Hub) -> None:
    """An older generation after a newer one was seen: nobody knows which is the agent.

    Whoever shows it has the link key, too, and says so in a session that began after that.
    """
    old = await hub.enrolled("one")
    newer = await hub.renewed(old)
    async with hub.connected(newer) as live:
        async with hub.connected(old) as talk:
            await talk.until(lambda: talk.ended)
        await live.until(lambda: live.ended)
    assert await hub.life("one") is Life.LOCKED
    assert "agent_locked" in await hub.alerted()
    assert not len(hub.gateway.connections)


async def test_a_handshake_that_was_held_back_locks_nobody(hub: Hub) -> None:
    """The agent has a newer certificate by then, and is linked by it: it stays so.

    Whoever holds the old one back cannot answer for it, nor can who plays back what was said.
    """
    old = await hub.enrolled("one")
    newer = await hub.renewed(old)
    async with hub.connected(newer) as live, trio.open_nursery() as nursery:
        held = hub.dial(old, nursery)
        hello = await held.hello()
        await held.pipe.send(hello)
        await held.pipe.receive()
        await held.pipe.send(hello)
        with pytest.raises(TransportError):
            await held.pipe.receive()
        silent = hub.dial(old, nursery)
        await silent.pipe.send(hello)
        await silent.pipe.aclose()
        await pushed(hub, "v1")
        await live.until(lambda: newer.bundles == [1])
        nursery.cancel_scope.cancel()
    assert await hub.life("one") is Life.ACTIVE
    assert "agent_locked" not in await hub.alerted()


async def test_a_forged_frame_ends_the_connection(hub: Hub) -> None:
    """Nothing of it is taken, and it is counted."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await talk.pipe.send(bytes(200))
        await talk.until(lambda: talk.ended)
        assert hub.gateway.faults == 1
        with trio.fail_after(30):  # it is cut off first
            while not (found := await hub.plane.alerts.list_alerts("acme", **NEW)):  # noqa: ASYNC110
                await trio.sleep(0.01)
    assert [row.code for row in found] == ["link_fault"]


async def test_a_command_waits_for_the_agent_and_its_result_is_on_record(hub: Hub) -> None:
    """Once, across connections."""
    one = await hub.enrolled("one")
    asked = await hub.plane.commands.send_command(
        "acme", "one", words.CommandName.RUN_BACKUP, "ann"
    )
    async with hub.connected(one) as talk:
        await talk.until(lambda: any(isinstance(x, m.Command) for x in one.heard))
        result = m.CommandResult(
            command_id=bytes.fromhex(asked.id), outcome=words.CommandOutcome.DONE, at=5
        )
        await talk.say(result)
        await talk.delivered()
    async with hub.connected(one):
        pass
    assert len([x for x in one.heard if isinstance(x, m.Command)]) == 1
    [row] = await hub.plane.commands.list_commands("acme", "one")
    assert (row.outcome, row.done_at) == ("done", 5 * 10**6)


async def test_everybody_is_told_when_to_come_back(hub: Hub) -> None:
    """An end in order spreads the return."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        hub.gateway.close_all()
        await talk.until(lambda: talk.ended)
        assert talk.left is words.ByeReason.RESTART


async def test_an_agent_that_knows_ids_we_never_gave_is_an_alert(hub: Hub) -> None:
    """Our database is an old copy: somebody must know, and the agent goes on in a new stream."""
    one = await hub.enrolled("one")
    async with hub.connected(one) as talk:
        await pushed(hub, "v1")
        await talk.until(lambda: one.bundles == [1])
        await talk.delivered()
    one.inbox.through += 100
    async with hub.connected(one) as talk:
        await talk.until(lambda: talk.ended)
    with trio.fail_after(5):
        while "link_lost" not in await hub.alerted():  # noqa: ASYNC110  # no event of it
            await trio.sleep(0.01)
    async with hub.connected(one) as talk:
        assert talk.opened
