"""What agents are asked of a candidate, and what of their answers counts."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError, RateLimitError, ValidationError
from control.model.agents import Life
from control.model.policies import Plan, Target
from control.model.policy_documents import Document
from control.model.replays import MAX_AGENTS, ReplayNumbers, State
from control.model.reported_values import MAX_COUNT
from control.services import replays
from control.services.event_bus import Topic
from control.services.replays import MAX_LIVE, REPLAY_LIFETIME, REPLAY_RETENTION, ReplayRequest
from control.store import replays as store
from protocols.instant import HOUR, SECOND
from protocols.link import messages as m
from protocols.link.vocabulary import ReplayOutcome, UndecidedReason
from tests.unit.control.fleet import enrolled

ALL = (Target(all=True),)
DRAFT = ReplayRequest(document=Document(description="draft"), targets=ALL)


def told(id_: str, outcome: ReplayOutcome = ReplayOutcome.DONE, **changes: Any) -> m.ReplayResult:
    """An agent's answer."""
    fields: dict[str, Any] = {
        "replay_id": bytes.fromhex(id_), "outcome": outcome, "reached": 5, "records": 9,
        "accesses": 8, "unchanged": 4, "denied": 3, "allowed": 0, "drifted": 1,
        "undecided": (m.UndecidedCount(reason=UndecidedReason.RECORD_CUT, count=1),),
        "changes": (
            m.ReplayChange(identity=b"i" * 16, secret=bytes(16), denied=3, allowed=0),
        ),
    }  # fmt: skip
    return m.ReplayResult(**fields | changes)


async def start(core: Core, asked: ReplayRequest = DRAFT) -> str:
    """By ann."""
    return (await core.policies.replays.start_replay("acme", "p", asked, "acme/ann")).id


async def states(core: Core, id_: str) -> dict[str, State]:
    """Agent → how far it is."""
    return {
        one.vault: one.state for one in (await core.policies.replays.get_replay("acme", id_))[1]
    }


async def ask(core: Core, *vaults: str) -> list[tuple[str, m.PolicyReplay]]:
    """What is to be asked of them now."""
    now = core.world.now()
    return await core.store.write(lambda tx: replays.pending_replays(tx, "acme", vaults, now))


async def hear(core: Core, vault: str, message: m.ReplayResult) -> None:
    """As the agent's connection does."""
    await core.store.write(
        lambda tx: replays.record_result(tx, "acme", vault, message, core.world.now())
    )


async def test_each_agent_that_is_meant_is_to_be_asked(core: Core, world: FakeWorld) -> None:
    """By targets, or by those of the policy; who is not active is not."""
    await enrolled(core, world, "v1", "v2", tags=("eu",))
    await enrolled(core, world, "v3")
    with core.bus.subscribe(Topic.REPLAY) as heard:
        id_ = await start(core, ReplayRequest(document=Document(), targets=(Target(tag="eu"),)))
        events, _ = await heard.receive()
    assert {(event.vault, event.subject) for event in events} == {("v1", id_), ("v2", id_)}
    assert await states(core, id_) == {"v1": State.WAITING, "v2": State.WAITING}
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "")
    assert set(await states(core, await start(core))) == {"v2", "v3"}
    with pytest.raises(ValidationError, match="no active agent"):
        await start(core, ReplayRequest(document=Document()))
    await core.policies.policies.write_version("acme", "p", Document(), "", "x")
    await core.policies.policies.set_targets("acme", "p", (Target(vault="v3"),))
    assert set(await states(core, await start(core, ReplayRequest(version=1)))) == {"v3"}


async def test_a_question_has_the_bundle_that_the_agent_would_get(
    core: Core, world: FakeWorld
) -> None:
    """Its other policies as they are, and the candidate in place of the one of its name."""
    await enrolled(core, world, "v1")
    for name in ("other", "p"):
        await core.policies.policies.write_version(
            "acme", name, Document(description="old"), "", "x"
        )
        await core.policies.policies.set_targets("acme", name, ALL)
        await core.policies.rollouts.start_rollout("acme", name, 1, Plan(), "x")
    await core.policies.policies.refresh_due()
    id_ = await start(core)
    ((vault, question),) = await ask(core, "v1", "v9")
    assert (vault, question.replay_id.hex()) == ("v1", id_)
    assert question.rules == (
        b'{"name":"other","description":"old"}', b'{"name":"p","description":"draft"}',
    )  # fmt: skip
    assert question.until - question.since == 24 * HOUR // 10**6
    assert question.expires_at == (world.now() + REPLAY_LIFETIME) // 10**6


async def test_what_does_not_fit_is_not_asked(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a bundle: then it could not be rolled out either."""
    await enrolled(core, world, "v1")
    id_ = await start(core)
    monkeypatch.setattr(replays, "MAX_BUNDLE", 10)
    assert await ask(core, "v1") == []
    assert await states(core, id_) == {"v1": State.INVALID}


async def test_an_answer_counts_once_and_for_its_agent(core: Core, world: FakeWorld) -> None:
    """Nobody else's, none that was not asked for, and no second one."""
    await enrolled(core, world, "v1", "v2")
    id_ = await start(core, ReplayRequest(document=Document(), targets=(Target(vault="v1"),)))
    await hear(core, "v2", told(id_))
    await hear(core, "v1", told("ff" * 16))
    assert await states(core, id_) == {"v1": State.WAITING}
    await hear(core, "v1", told(id_))
    await hear(core, "v1", told(id_, ReplayOutcome.REFUSED))
    _, (row,) = await core.policies.replays.get_replay("acme", id_)
    assert (row.state, row.numbers.denied, row.numbers.undecided) == (
        State.DONE, 3, {"record_cut": 1},
    )  # fmt: skip
    (change,) = row.numbers.changes
    assert (change.identity, change.secret, change.denied) == ((b"i" * 16).hex(), "", 3)
    assert await ask(core, "v1") == []


async def test_an_agent_cannot_say_a_time_that_is_none(core: Core, world: FakeWorld) -> None:
    """It would be in the way of all the others' answers: a replay is shown with all of them."""
    await enrolled(core, world, "v1")
    id_ = await start(core)
    await hear(core, "v1", told(id_, reached=2**63 - 1, accesses=2**63 - 1))
    _, (row,) = await core.policies.replays.get_replay("acme", id_)
    assert row.numbers.reached == world.now()
    assert row.numbers.accesses == MAX_COUNT  # they are added up, for JSON


async def test_so_many_at_once_and_no_more(core: Core, world: FakeWorld) -> None:
    """Each waits for every agent that it is for; another organization's are not counted."""
    await enrolled(core, world, "v1")
    ids = [await start(core) for _ in range(MAX_LIVE)]
    with pytest.raises(RateLimitError):
        await start(core)
    assert [question.replay_id.hex() for _, question in await ask(core, "v1")] == ids
    assert (
        await core.store.read(lambda tx: store.count_open_replays(tx, "platform", world.now())) == 0
    )
    world.advance(REPLAY_LIFETIME / SECOND)
    assert await start(core)


@pytest.mark.parametrize("outcome", [o for o in ReplayOutcome if o is not ReplayOutcome.DONE])
async def test_who_does_not_do_it_tells_no_numbers(
    core: Core, world: FakeWorld, outcome: ReplayOutcome
) -> None:
    """Whatever else the message says."""
    await enrolled(core, world, "v1")
    id_ = await start(core)
    await hear(core, "v1", told(id_, outcome))
    _, (row,) = await core.policies.replays.get_replay("acme", id_)
    assert (str(row.state), row.numbers) == (str(outcome), ReplayNumbers())


async def test_what_is_not_answered_in_time_never_is(core: Core, world: FakeWorld) -> None:
    """An agent that was away is told as offline, one that was asked as late."""
    await enrolled(core, world, "v1", "v2")
    id_ = await start(core)
    await core.store.write(
        lambda tx: replays.record_state(tx, ("acme", id_, "v1"), State.ASKED, world.now())
    )
    world.advance(REPLAY_LIFETIME / SECOND)
    assert await states(core, id_) == {"v1": State.EXPIRED, "v2": State.OFFLINE}
    assert await ask(core, "v1", "v2") == []


async def test_what_makes_no_sense_is_refused(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to ask about, two things at once, a version that is not there, too many agents."""
    await enrolled(core, world, "v1", "v2")
    for asked in (
        ReplayRequest(targets=ALL),
        ReplayRequest(version=1, document=Document(), targets=ALL),
    ):
        with pytest.raises(ValidationError):
            await start(core, asked)
    with pytest.raises(NotFoundError):
        await start(core, ReplayRequest(version=1, targets=ALL))
    with pytest.raises(NotFoundError):
        await core.policies.replays.get_replay("acme", "00" * 16)
    with pytest.raises(NotFoundError):
        await core.policies.replays.list_replays("acme", "p")
    monkeypatch.setattr(replays, "MAX_AGENTS", 1)
    with pytest.raises(ValidationError, match="2 agents"):
        await start(core)


async def test_another_organization_sees_nothing_of_it(core: Core, world: FakeWorld) -> None:
    """Not even that it is there."""
    await enrolled(core, world, "v1")
    id_ = await start(core)
    with pytest.raises(NotFoundError):
        await core.policies.replays.get_replay("platform", id_)


async def test_old_ones_go(core: Core, world: FakeWorld) -> None:
    """After a month, with what their agents told."""
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version("acme", "p", Document(), "", "x")
    id_ = await start(core)
    await core.policies.replays.delete_older()
    assert [row.id for row in await core.policies.replays.list_replays("acme", "p")] == [id_]
    world.advance(REPLAY_RETENTION / SECOND + 1)
    await core.policies.replays.delete_older()
    assert await core.policies.replays.list_replays("acme", "p") == []


async def test_an_organization_keeps_so_many_and_no_more(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for one more loses the oldest, with what its agents told: so many of an agent."""
    monkeypatch.setattr(replays, "MAX_KEPT", 3)
    await enrolled(core, world, "v1", "v2")
    ids = []
    for _ in range(5):
        ids.append(await start(core))
        world.advance(REPLAY_LIFETIME / SECOND)
    assert await kept(core, ids) == [0, 0, 2, 2, 2]
    with pytest.raises(NotFoundError):
        await core.policies.replays.get_replay("acme", ids[1])


async def test_what_agents_told_is_bounded_in_all(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows, whoever they are of: with three agents there is room for fewer than with one."""
    monkeypatch.setattr(replays, "MAX_ROWS", 4)
    await enrolled(core, world, "v1", "v2", "v3")
    ids = []
    for targets in (ALL, (Target(vault="v1"),), ALL):
        ids.append(await start(core, ReplayRequest(document=Document(), targets=targets)))
        world.advance(REPLAY_LIFETIME / SECOND)
    assert await kept(core, ids) == [0, 1, 3]


async def test_all_organizations_together_are_bounded(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sweep: many organizations, each within its bound, would fill the disk as well."""
    monkeypatch.setattr(replays, "MAX_OF_ALL", 3)
    await enrolled(core, world, "v1", "v2")
    ids = []
    for _ in range(2):
        ids.append(await start(core))
        world.advance(REPLAY_LIFETIME / SECOND)
    await core.policies.replays.delete_older()
    assert await kept(core, ids) == [0, 2]


def test_who_is_being_asked_always_has_room() -> None:
    """What is removed for want of room is nobody's open question."""
    assert replays.MAX_LIVE <= replays.MAX_KEPT
    assert replays.MAX_LIVE * MAX_AGENTS <= replays.MAX_ROWS <= replays.MAX_OF_ALL


async def kept(core: Core, ids: list[str]) -> list[int]:
    """Agents that are on record of each."""
    return await core.store.read(
        lambda tx: [
            len(store.list_replay_agents(tx, "acme", id_, after="", limit=9)) for id_ in ids
        ]
    )
