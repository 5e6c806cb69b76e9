"""Agents are admitted, brought what is theirs, and cut when they no longer count."""

import hashlib
import os
from contextlib import ExitStack

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.ca.revocation import StolenCertificateLock
from control.ca.store import CaTransaction
from control.errors import AuthorizationError
from control.gateway import gateway
from control.gateway.gateway import (
    ALERT_INTERVAL,
    MAX_CONNECTIONS_PER_AGENT,
    RESYNC_INTERVAL,
    Connections,
    ProtocolAlerts,
    is_link_key_proven,
)
from control.model.agents import Life, Presence
from control.model.links import AgentLink
from control.model.policies import Outcome, Plan, Target
from control.model.policy_documents import Document, Rule
from control.model.replays import State
from control.services.agent_registry import change_agent_life
from control.services.event_bus import Topic
from control.services.replays import ReplayRequest
from control.store.ca_store import SqlCaStore
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.errors import Fault, RemoteFaultError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import VERSIONS
from protocols.link.messages import Cursor
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.signing import LinkKey, Verifier
from protocols.link_transport.memory import MemoryOutbox, MemoryTransport, memory_transport_pair
from protocols.pki.keys import new_signing_key
from protocols.pki.names import AgentName
from tests.unit.control.gateway.wired import Hub
from tests.unit.control.services.test_replays import states, told

RULE = Rule(effect="allow", paths=("secret/*",), capabilities=("read",))
CHANNEL = ChannelBinding(
    org="acme",
    vault="one",
    agent_certificate=hashlib.sha256(b"agent").digest(),
    control_certificate=hashlib.sha256(b"control").digest(),
)
AGENT, CONTROL = LinkKey(new_signing_key()), LinkKey(new_signing_key())
NOW = ClockReading(0.0, 0)
ONE, TWO = AgentName("acme", "one"), AgentName("acme", "two")
ONE, TWO = AgentName("acme", "one"), AgentName("acme", "two")
DRAFT = ReplayRequest(document=Document(), targets=(Target(all=True),))


async def pushed(hub: Hub, text: str) -> str:
    """The next version of a policy for everybody, rolled out at once; the roll-out's id."""
    policies, rollouts = hub.core.policies.policies, hub.core.policies.rollouts
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
    row = await hub.core.policies.policies.get_assignment("acme", vault)
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
        await hub.core.policies.rollouts.advance_running()
        assert [p.stable for p in await hub.core.policies.policies.list_policies("acme")] == [1]


async def test_an_agent_that_was_away_gets_the_newest_alone(hub: Hub) -> None:
    """What was superseded meanwhile is skipped, not sent."""
    one = await hub.enrolled("one")
    await pushed(hub, "v1")
    await hub.core.policies.rollouts.advance_running()
    async with hub.connected(one) as talk:
        await talk.until(lambda: one.bundles == [1])
        await talk.delivered()
    await hub.core.policies.rollouts.advance_running()
    await hub.core.policies.rollouts.roll_back_rollout("acme", await pushed(hub, "v2"), "no")
    await hub.core.policies.policies.refresh_due()
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
        row = await hub.core.policies.policies.get_assignment("acme", "one")
        assert row is not None
        assert (row.outcome, row.reason) == (Outcome.FAILED, "above_ceiling")
        await hub.core.policies.rollouts.advance_running()
        [rollout] = await hub.core.policies.rollouts.list_rollouts("acme", "p", 5)
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
        found = await hub.core.agents.registry.get_agent("acme", "one")
        assert found.presence is Presence.ONLINE


async def test_a_revocation_cuts_too(hub: Hub) -> None:
    """The lock of a stolen certificate, by the CA itself."""
    one = await hub.enrolled("one")
    revocation, ledger, now = hub.office.revocation, SqlCaStore(hub.core.store), hub.world.now()

    def lock(tx: CaTransaction) -> StolenCertificateLock:
        agent = tx.agent(AgentName("acme", "one"))
        assert agent is not None
        return revocation.lock_in_transaction(tx, agent, now)

    async with hub.connected(one) as talk:
        with pytest.raises(AuthorizationError):
            revocation.raise_if_locked(await ledger.transact(lock))
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
    with hub.core.bus.subscribe(Topic.LIFE) as lives:
        await hub.enrolled("one")
        new = await hub.enrolled("one")
        (word,), _ = await lives.receive()
    await trio.testing.wait_all_tasks_blocked()  # the gateway has had it, too
    async with hub.connected(new) as talk:
        await hub.live("one")
        hub.core.bus.publish(word)
        await trio.testing.wait_all_tasks_blocked()
        assert not talk.ended
        async with hub.connected(await hub.renewed(new)) as later:
            await talk.until(lambda: talk.ended)
            hub.core.bus.publish(word)
            await trio.testing.wait_all_tasks_blocked()
            assert not later.ended
            hub.core.bus.publish(replace(word, generation=0))
            await later.until(lambda: later.ended)


async def test_who_is_locked_while_it_connects_is_not_missed(hub: Hub) -> None:
    """Admitted, then locked elsewhere, then heard: the next look around ends and forgets it."""
    one, begin = await hub.enrolled("one"), hub.ends.open_link

    async def locked(name: AgentName) -> AgentLink:
        link = await begin(name)
        await hub.core.store.write(
            lambda tx: change_agent_life(tx, "acme", "one", Life.LOCKED, "", now=hub.world.now())
        )
        return link

    hub.ends.open_link = locked  # type: ignore[method-assign]
    async with hub.connected(one) as talk:
        await hub.live("one")
        assert hub.core.presence.status_of("acme", "one") is not None
        await hub.gateway.disconnect_inactive()
        await talk.until(lambda: talk.ended)
    assert hub.core.presence.status_of("acme", "one") is None


async def test_who_was_replaced_elsewhere_is_found(hub: Hub, world: FakeWorld) -> None:
    """Without an event, by the certificate that was revoked; the one enrolled instead stays."""
    old, two = await hub.enrolled("one"), await hub.enrolled("two")
    async with hub.connected(old) as stolen, hub.connected(two) as other:
        hub.core.bus.publish = lambda *_: None  # type: ignore[method-assign]
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
        hub.core.bus.publish = lambda *_: None  # type: ignore[method-assign]
        await hub.core.agents.registry.change_life("acme", "one", Life.LOCKED, "")
        await pushed(hub, "v1")
        await trio.testing.wait_all_tasks_blocked()
        assert not first.ended
        world.advance(RESYNC_INTERVAL)
        await first.until(lambda: first.ended)
        await second.until(lambda: two.bundles == [1])


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
    with trio.fail_after(30):
        while "link_lost" not in await hub.alerted():  # noqa: ASYNC110  # no event of it
            await trio.sleep(0.01)
    async with hub.connected(one) as talk:
        assert talk.opened


async def end(signer: LinkKey, peer: LinkKey) -> SessionConfig:
    """Of one side."""
    return SessionConfig(
        channel=CHANNEL,
        signer=signer,
        verifier=Verifier([peer.public]),
        nonce=os.urandom(16),
        outbox=await MemoryOutbox(os.urandom(16)).state(),
        cursor=Cursor(stream=bytes(16), applied=0),
    )


async def said(pipe: MemoryTransport, key: LinkKey) -> list[bytes]:
    """All that an agent with this key says to prove itself."""
    session = LinkSession.agent(await end(key, CONTROL), NOW)
    frames = session.take_frames(NOW)
    await pipe.send(frames[0])
    session.receive_frame(await pipe.receive(), NOW)
    frames += session.take_frames(NOW)
    await pipe.send(frames[-1])
    return frames


async def asked(theirs: MemoryTransport) -> bool:
    """What comes of it."""
    world = FakeWorld(0)
    return await is_link_key_proven(theirs, await end(CONTROL, AGENT), world)


async def test_the_link_key_proves_itself_once() -> None:
    """And nothing of that can be said again: our nonce is another one each time."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    frames: list[bytes] = []

    async def once() -> None:
        frames.extend(await said(ours, AGENT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(once)
        assert await asked(theirs)
    ours, theirs = memory_transport_pair(b"agent", b"control")
    for frame in frames:
        await ours.send(frame)
    with pytest.raises(RemoteFaultError):
        await asked(theirs)


async def test_another_key_proves_nothing() -> None:
    """A stolen certificate without its agent's link key."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    stranger = LinkSession.agent(await end(CONTROL, CONTROL), NOW)
    await ours.send(stranger.take_frames(NOW)[0])
    with pytest.raises(RemoteFaultError):
        await asked(theirs)


@pytest.mark.parametrize("greets", [False, True])
async def test_silence_proves_nothing(greets: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Whoever holds back what was said, or never had more than the beginning; it has an end."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    if greets:
        await ours.send(LinkSession.agent(await end(AGENT, CONTROL), NOW).take_frames(NOW)[0])
    assert not await asked(theirs)
    assert 0 < autojump_clock.current_time() < 60


async def reported(hub: Hub) -> list[tuple[str, str, int, str]]:
    """Oldest first."""
    page = hub.core.agents.alerts.list_alerts("acme", vault="", before=0, limit=100)
    return [(row.vault, row.code, row.count, row.message) for row in reversed(await page)]


async def test_each_agent_once_an_hour(hub: Hub) -> None:
    """However often it comes back with the same; then with how often that was."""
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    for _ in range(50):
        await made.report_fault(ONE, Fault.SIGNATURE)
    hub.world.advance(1)
    await made.report_fault(TWO, Fault.SEQUENCE)
    assert [row[:3] for row in await reported(hub)] == [
        ("one", "link_fault", 1),
        ("two", "link_fault", 1),
    ]
    hub.world.advance(ALERT_INTERVAL)
    await made.report_fault(ONE, Fault.GAP)
    one, _ = await reported(hub)
    assert one[:3] == ("one", "link_fault", 51)
    assert "(gap)" in one[3]


async def test_an_agent_that_is_ahead_of_us_is_told_beside_its_faults(hub: Hub) -> None:
    """Another kind, with an hour of its own."""
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    await made.report_fault(ONE, Fault.GAP)
    for _ in range(3):
        hub.world.advance(1)
        await made.report_rollback(ONE)
    assert [code for _, code, *_ in await reported(hub)] == ["link_fault", "link_lost"]


async def test_silence_is_presence_and_no_fault(hub: Hub) -> None:
    """That an agent is gone is told by its presence."""
    await ProtocolAlerts(hub.core.agents.alerts, hub.world).report_fault(ONE, Fault.TIMEOUT)
    assert await reported(hub) == []


async def test_what_is_remembered_is_bounded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was told of longest ago is forgotten, and told of anew."""
    monkeypatch.setattr(gateway, "REMEMBERED", 1)
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    for name in (ONE, TWO, ONE):
        await made.report_fault(name, Fault.SIGNATURE)
        hub.world.advance(1)
    assert [row[:3] for row in await reported(hub)] == [
        ("one", "link_fault", 2),
        ("two", "link_fault", 1),
    ]


async def test_one_agent_cannot_take_all_seats() -> None:
    """Beyond its few it is turned away; others are not."""
    roster = Connections()
    with ExitStack() as seats:
        for _ in range(MAX_CONNECTIONS_PER_AGENT):
            seats.enter_context(roster.register(ONE))
        with pytest.raises(TransportError, match="crowded"), roster.register(ONE):
            pass
        with roster.register(TWO):
            pass
    with roster.register(ONE):
        pass


async def test_a_cut_ends_every_connection_of_that_agent() -> None:
    """And nobody else's, whether or not it has proven itself."""
    roster, ended = Connections(), []

    async def hold(name: AgentName) -> None:
        with roster.register(name):
            await trio.sleep_forever()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        for name in (ONE, ONE, TWO):
            nursery.start_soon(hold, name)
        await trio.testing.wait_all_tasks_blocked()
        roster.disconnect(ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [ONE, ONE]
        nursery.cancel_scope.cancel()


async def test_a_cut_spares_who_came_by_a_newer_certificate() -> None:
    """Not who has not shown one yet; without a generation it spares nobody."""
    roster, ended = Connections(), []

    async def hold(generation: int) -> None:
        with roster.register(ONE) as seat:
            seat.generation = generation
            await trio.sleep_forever()
        ended.append(generation)

    async with trio.open_nursery() as nursery:
        for generation in (0, 1, 2, 3):
            nursery.start_soon(hold, generation)
        await trio.testing.wait_all_tasks_blocked()
        roster.disconnect(ONE, 2)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == [0, 1]
        roster.disconnect(ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == [0, 1, 2, 3]
        nursery.cancel_scope.cancel()


async def test_a_cut_of_nobody_is_nothing() -> None:
    """An agent may have gone a moment before."""
    Connections().disconnect(ONE)


async def begun(hub: Hub) -> str:
    """A replay for everybody."""
    return (await hub.core.policies.replays.start_replay("acme", "p", DRAFT, "acme/ann")).id


async def becomes(hub: Hub, id_: str, **wanted: State) -> None:
    """Wait until the agents are so far."""
    with trio.fail_after(30):
        while await states(hub.core, id_) != wanted:
            await trio.testing.wait_all_tasks_blocked()


async def test_who_is_linked_is_asked_at_once_and_answers(hub: Hub) -> None:
    """The answer is one of the moment; what it says is stored."""
    vault = await hub.enrolled("one")
    async with hub.connected(vault) as talk:
        await hub.live("one")
        id_ = await begun(hub)
        await talk.until(lambda: any(isinstance(x, m.PolicyReplay) for x in vault.heard))
        await becomes(hub, id_, one=State.ASKED)
        await talk.say(told(id_))
        await becomes(hub, id_, one=State.DONE)


async def test_who_comes_later_is_asked_then_and_nobody_twice(hub: Hub) -> None:
    """By the gateway's own look; a connection is asked once, the next one again."""
    vault = await hub.enrolled("one")
    id_ = await begun(hub)
    for _ in range(2):
        vault.heard.clear()
        async with hub.connected(vault) as talk:
            await hub.live("one")
            await hub.gateway.resync_all()
            await hub.gateway.resync_all()
            await talk.until(lambda: vault.heard)
            await becomes(hub, id_, one=State.ASKED)
            assert len([x for x in vault.heard if isinstance(x, m.PolicyReplay)]) == 1


async def test_what_finds_no_room_is_asked_later(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """More questions than an agent's session queues harm neither it nor whoever brings them."""
    monkeypatch.setattr("protocols.link.session.MAX_QUEUED", 2)
    vault = await hub.enrolled("one")
    ids = [await begun(hub) for _ in range(7)]
    async with hub.connected(vault) as talk:
        await hub.live("one")
        for _ in ids:
            await hub.gateway.resync_all()
            await trio.testing.wait_all_tasks_blocked(0.01)
        await talk.until(lambda: len(vault.heard) == len(ids))
        assert [x.replay_id.hex() for x in vault.heard if isinstance(x, m.PolicyReplay)] == ids


async def test_an_older_agent_keeps_its_session(hub: Hub) -> None:
    """It is told as too old, and never hears the question."""
    vault = await hub.enrolled("one")
    async with trio.open_nursery() as nursery:
        talk = hub.dial(vault, nursery)
        talk.versions = (1,)
        nursery.start_soon(talk.run)
        await talk.until(lambda: talk.opened)
        await hub.live("one")
        id_ = await begun(hub)
        await becomes(hub, id_, one=State.TOO_OLD)
        assert not talk.ended
        assert vault.heard == []
        nursery.cancel_scope.cancel()
