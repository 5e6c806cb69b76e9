"""Questions reach the agents that are linked, and what they answer is on record."""

import pytest
import trio
import trio.testing

from control.model.policies import Target
from control.model.policy_documents import Document
from control.model.replays import State
from control.services.replays import ReplayRequest
from protocols.link import messages as m
from tests.unit.control.gateway.wired import Hub
from tests.unit.control.services.test_replays import states, told

DRAFT = ReplayRequest(document=Document(), targets=(Target(all=True),))


async def begun(hub: Hub) -> str:
    """A replay for everybody."""
    return (await hub.core.policies.replays.start_replay("acme", "p", DRAFT, "acme/ann")).id


async def becomes(hub: Hub, id_: str, **wanted: State) -> None:
    """Wait until the agents are so far."""
    with trio.fail_after(20):
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
