"""A version reaches the agents step by step, halts on refusals, and can be taken back."""

from functools import partial
from typing import Final

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.errors import ConflictError, NotFoundError, UnavailableError, ValidationError
from control.model.policies import Plan, Rollout, RolloutState, Target
from control.model.policy_documents import Document, Rule
from control.services import policies
from control.services.event_bus import Topic
from control.services.policies import BundleReport, RefreshBatch, RefreshResult
from control.services.rollout_steps import rollout_order
from control.services.rollouts import CHECK_INTERVAL, Draft
from control.store import policies as rows
from control.store.rows import Tx
from tests.unit.control.fleet import enrolled

RULE = Rule(effect="allow", paths=("a/*",), capabilities=("read",))
STATES: Final = {"halt": RolloutState.HALTED, "roll_back": RolloutState.ROLLED_BACK}
VAULTS = ("v1", "v2", "v3", "v4")


async def ready(core: Core, world: FakeWorld) -> None:
    """Four agents, a policy in two versions for all of them."""
    await enrolled(core, world, *VAULTS)
    for _ in range(2):
        await core.policies.policies.write_version("acme", "p", Document(rules=(RULE,)), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))


async def answer(core: Core, world: FakeWorld, *, refuse: bool = False) -> int:
    """Every agent that waits for a bundle says what became of it; how many did."""
    await core.policies.policies.refresh_due()
    waiting = [
        a for a in await core.policies.policies.list_assignments("acme") if a.outcome == "wanted"
    ]
    for row in waiting:
        told = BundleReport(row.version, not refuse, "above_ceiling" if refuse else "", world.now())
        await core.store.write(
            lambda tx, row=row, told=told: core.policies.policies.record_report(
                tx, "acme", row.vault, told
            )
        )
    return len(waiting)


async def having(core: Core) -> dict[str, int]:
    """Agent to the version of `p` it should have."""
    await core.policies.policies.refresh_due()
    return {
        a.vault: a.contents["p"] for a in await core.policies.policies.list_assignments("acme", "p")
    }


async def test_step_by_step_to_everybody(core: Core, world: FakeWorld) -> None:
    """One, half, all; then the version is the stable one."""
    await ready(core, world)
    plan = Plan(canary=1, percentages=(50,))
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    sizes = []
    for _ in range(3):
        sizes.append(await answer(core, world))
        await core.policies.rollouts.advance_running()
    assert sizes == [1, 1, 2]
    done, progress = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert (done.state, progress.applied) == (RolloutState.DONE, 4)
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 1
    with pytest.raises(NotFoundError):
        await core.policies.rollouts.get_rollout("other", rollout.id)


async def test_an_agent_that_enforces_what_was_never_issued_opens_no_gate(
    core: Core, world: FakeWorld
) -> None:
    """It counts as one that has not answered: by its absurd version nothing is applied."""
    await ready(core, world)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    await core.policies.policies.refresh_due()
    [row] = await core.policies.policies.list_assignments("acme")
    for applied in (True, False):
        told = BundleReport(2**62, applied=applied, reason="older", now=world.now())
        await core.store.write(
            lambda tx, told=told: core.policies.policies.record_report(tx, "acme", row.vault, told)
        )
    await core.policies.rollouts.advance_running()
    [rollout] = await core.policies.rollouts.list_rollouts("acme", "p", 9)
    _, progress = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert (rollout.step, rollout.state) == (0, RolloutState.RUNNING)
    assert (progress.wanted, progress.applied, progress.failed) == (1, 0, 0)
    told = BundleReport(row.version, applied=True, reason="", now=world.now())
    await core.store.write(
        lambda tx: core.policies.policies.record_report(tx, "acme", row.vault, told)
    )
    await core.policies.rollouts.advance_running()
    moved, _ = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert moved.step == 1


async def test_refusals_halt_and_a_person_rolls_back(core: Core, world: FakeWorld) -> None:
    """Nobody but the canary ever wanted the bad version, and its bundle only goes up."""
    await ready(core, world)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    before = {a.vault: a.version for a in await core.policies.policies.list_assignments("acme")}
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 2, Plan(canary=1), "acme/ann")
    await answer(core, world, refuse=True)
    await core.policies.rollouts.advance_running()
    halted, _ = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert halted.state is RolloutState.HALTED
    assert sorted((await having(core)).values()) == [1, 1, 1, 2]
    [alert] = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert (alert.code, str(alert.state)) == ("rollout_halted", "firing")
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")
    [alert] = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert str(alert.state) == "resolved"
    assert set((await having(core)).values()) == {1}
    after = {a.vault: a.version for a in await core.policies.policies.list_assignments("acme")}
    assert sorted(after[v] - before[v] for v in VAULTS) == [0, 0, 0, 2]


async def test_done_can_be_taken_back(core: Core, world: FakeWorld) -> None:
    """To what was stable before."""
    await ready(core, world)
    for version in (1, 2):
        rollout = await core.policies.rollouts.start_rollout(
            "acme", "p", version, Plan(), "acme/ann"
        )
        await answer(core, world)
        await core.policies.rollouts.advance_running()
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "")
    assert set((await having(core)).values()) == {1}


async def test_what_is_done_is_not_taken_back_under_an_open_one(
    core: Core, world: FakeWorld
) -> None:
    """Else that one, taken back in its turn, would bring back the version that was taken back."""
    await ready(core, world)
    first = await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    second = await core.policies.rollouts.start_rollout("acme", "p", 2, Plan(canary=1), "acme/ann")
    for _ in ("running", "halted"):
        with pytest.raises(ConflictError, match="rollout_open"):
            await core.policies.rollouts.roll_back_rollout("acme", first.id, "bad")
        await core.policies.rollouts.halt_rollout("acme", second.id, "wait")
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 1
    await core.policies.rollouts.roll_back_rollout("acme", second.id, "")
    await core.policies.rollouts.roll_back_rollout("acme", first.id, "bad")
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 0


@pytest.mark.parametrize("broken", [False, True], ids=["at once", "after a failure"])
async def test_what_is_tried_again_before_it_is_gone_is_refused(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch, *, broken: bool
) -> None:
    """Else all who were not given the stable version yet would keep it, and make it stable."""
    monkeypatch.setattr(
        core.policies.policies, "mark_due", [].append
    )  # bundles are made when the test says so
    await ready(core, world)
    for version in (1, 2):
        rollout = await core.policies.rollouts.start_rollout(
            "acme", "p", version, Plan(), "acme/ann"
        )
        await core.policies.policies.refresh_bundles("acme")
        assert await answer(core, world) == len(VAULTS)
        await core.policies.rollouts.advance_running()
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")
    if broken:
        with monkeypatch.context() as patch:
            patch.setattr(core.policies.policies, "_assign", unavailable)
            with pytest.raises(UnavailableError):
                await core.policies.policies.refresh_bundles("acme")
    again = partial(core.policies.rollouts.start_rollout, "acme", "p", 2, Plan(canary=1), "ann")
    with pytest.raises(ConflictError, match="still_there"):
        await again()
    await core.policies.policies.refresh_bundles("acme")
    assert set((await having(core)).values()) == {1}
    await answer(core, world)
    second = await again()
    await core.policies.policies.refresh_bundles("acme")
    assert sorted((await having(core)).values()) == [1, 1, 1, 2]
    await core.policies.rollouts.advance_running()
    running, _ = await core.policies.rollouts.get_rollout("acme", second.id)
    assert running.state is RolloutState.RUNNING
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 1


async def test_a_refused_beginning_sees_to_it_that_the_version_goes(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was to take it away may have died; and those who are not targeted any more count."""
    due: list[str] = []
    monkeypatch.setattr(core.policies.policies, "mark_due", due.append)
    await ready(core, world)
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    await core.policies.policies.refresh_bundles("acme")
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")
    await core.policies.policies.set_targets("acme", "p", (Target(vault="v1"),))
    due.clear()
    with pytest.raises(ConflictError, match="still_there"):
        await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    assert due == ["acme"]


async def test_as_many_as_still_have_it_may_begin_again(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary of before is the canary again; and everybody is everybody."""
    monkeypatch.setattr(core.policies.policies, "mark_due", [].append)
    await ready(core, world)
    for plan in (Plan(canary=1), Plan(canary=1), Plan(), Plan(canary=4), Plan()):
        rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
        await core.policies.policies.refresh_bundles("acme")
        await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")


def unavailable(*_: object) -> None:
    """As when the database is away."""
    raise UnavailableError("store_timeout", "it is away")


async def test_who_says_it_twice_skips_no_step(core: Core, world: FakeWorld) -> None:
    """An advance is from the step that was seen, if it says so."""
    await ready(core, world)
    plan = Plan(canary=1, percentages=(50,), automatic=False)
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    assert (await core.policies.rollouts.advance_rollout("acme", rollout.id, 0, by="x")).step == 1
    for late in (0, 2):
        with pytest.raises(ConflictError, match="other_step"):
            await core.policies.rollouts.advance_rollout("acme", rollout.id, late, by="x")
    assert (await core.policies.rollouts.advance_rollout("acme", rollout.id, by="x")).step == 2


@pytest.mark.parametrize("halted", [False, True])
async def test_a_person_finishes_it_at_the_last_step(
    core: Core, world: FakeWorld, *, halted: bool
) -> None:
    """Whoever is waited for or has refused: the version is the stable one, and all should have it.

    Not by a word that was meant for the step before, or that does not say for which.
    """
    await ready(core, world)
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    assert (
        await core.policies.rollouts.advance_rollout("acme", rollout.id, 0, by="x")
    ).state is RolloutState.RUNNING
    with pytest.raises(ConflictError, match="other_step"):
        await core.policies.rollouts.advance_rollout("acme", rollout.id, 0, by="x")
    with pytest.raises(ConflictError, match="last_step"):
        await core.policies.rollouts.advance_rollout("acme", rollout.id, by="x")
    if halted:
        await core.policies.rollouts.halt_rollout("acme", rollout.id, "too many refused it")
    done = await core.policies.rollouts.advance_rollout("acme", rollout.id, 1, by="x")
    assert (done.state, done.step, done.reason) == (RolloutState.DONE, 1, "")
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 1
    assert await having(core) == dict.fromkeys(VAULTS, 1)
    with pytest.raises(ConflictError, match="rollout_over"):
        await core.policies.rollouts.advance_rollout("acme", rollout.id, 1, by="x")
    await core.policies.rollouts.start_rollout("acme", "p", 2, Plan(), "acme/ann")


async def test_a_fleet_that_grows_moves_no_halted_roll_out(core: Core, world: FakeWorld) -> None:
    """Newcomers get what is stable, however many; a further step counts all that there are."""
    await ready(core, world)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    plan = Plan(percentages=(25, 50), max_failures=9)
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 2, plan, "acme/ann")
    [bad] = [vault for vault, version in (await having(core)).items() if version == 2]
    await core.policies.rollouts.halt_rollout("acme", rollout.id, "bad")
    await enrolled(core, world, *(f"w{number}" for number in range(12)))
    core.policies.policies.mark_due("acme")
    found = await having(core)
    assert len(found) == 16
    assert [vault for vault, version in found.items() if version == 2] == [bad]
    _, progress = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert (progress.wanted, progress.total) == (1, 16)
    await core.policies.rollouts.advance_rollout("acme", rollout.id, by="x")
    found = await having(core)
    assert (found[bad], sorted(found.values()).count(2)) == (2, 8)


async def test_a_newcomer_does_not_take_the_canarys_place(core: Core, world: FakeWorld) -> None:
    """Whatever its place in the order: the one that tries the version first is not sent back."""
    await ready(core, world)
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", 1, Plan(canary=1, automatic=False), "acme/ann"
    )
    [canary] = await having(core)
    named = (f"w{number}" for number in range(99))
    earlier = next(one for one in named if rollout_order(rollout.id, [one, canary])[0] == one)
    await enrolled(core, world, earlier)
    core.policies.policies.mark_due("acme")
    assert list(await having(core)) == [canary]
    _, progress = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert (progress.wanted, progress.total) == (1, 5)


@pytest.mark.parametrize("how", ["halt", "roll_back"])
async def test_a_fan_out_under_way_ends_where_it_was_halted(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The next piece of it is not signed: nobody else gets what was halted or taken back."""
    due: list[str] = []
    monkeypatch.setattr(policies, "CHUNK", 1)
    monkeypatch.setattr(core.policies.policies, "mark_due", due.append)
    await ready(core, world)
    assign, pieces = core.policies.policies._assign, []

    def meanwhile(piece: RefreshBatch, now: int, tx: Tx) -> RefreshResult | None:
        pieces.append(list(piece.wanted))
        if len(pieces) == 2:
            [rollout] = rows.open_rollouts(tx, piece.org)
            rows.put_rollout(tx, replace(rollout, state=STATES[how]))
        return assign(piece, now, tx)

    monkeypatch.setattr(core.policies.policies, "_assign", meanwhile)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    due.clear()
    assert await core.policies.policies.refresh_bundles("acme") == 1
    assert due == ["acme"]
    assert len(await core.policies.policies.list_assignments("acme")) == 1
    await core.policies.policies.refresh_bundles("acme")
    [first] = await core.policies.policies.list_assignments("acme")
    assert ([first.vault], first.contents) == (pieces[0], {"p": 1} if how == "halt" else {})


async def test_who_writes_a_policy_stops_no_fan_out(core: Core, world: FakeWorld) -> None:
    """A version that is rolled out to nobody changes nothing of what agents should have."""
    await ready(core, world)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    steering = await core.store.read(lambda tx: rows.rollout_inputs(tx, "acme"))
    await core.policies.policies.write_version("acme", "p", Document(rules=(RULE,)), "", "ann")
    assert await core.store.read(lambda tx: rows.rollout_inputs(tx, "acme")) == steering
    await core.policies.policies.set_targets("acme", "p", (Target(vault="v1"),))
    assert await core.store.read(lambda tx: rows.rollout_inputs(tx, "acme")) != steering


async def test_an_answer_does_not_wait_for_the_agents(core: Core, world: FakeWorld) -> None:
    """The roll-out is on record; bundles are signed behind it, also in the process' next life."""
    await ready(core, world)
    await core.policies.policies.refresh_due()
    with core.bus.subscribe(Topic.POLICY) as heard:
        await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
        assert await core.policies.policies.list_assignments("acme") == []
        await core.enrolment_hooks.mark_all_due()
        await core.policies.policies.refresh_due()
        events, _ = await heard.receive()
    assert {event.vault for event in events} == set(VAULTS)


async def test_nothing_new_is_not_looked_at_twice(core: Core, world: FakeWorld) -> None:
    """A tick counts; everything is looked at when counts, steps or a quarter of a minute say so."""
    await ready(core, world)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    await core.policies.policies.refresh_due()
    looks = []
    before = core.policies.rollouts._advance_one

    async def step(rollout: Rollout, now: int) -> None:
        looks.append(rollout.step)
        await before(rollout, now)

    core.policies.rollouts._advance_one = step  # type: ignore[method-assign]
    for _ in range(3):
        await core.policies.rollouts.advance_running()
    assert looks == [0]
    world.advance(CHECK_INTERVAL)
    await core.policies.rollouts.advance_running()
    assert looks == [0, 0]
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    await core.policies.rollouts.advance_running()
    assert looks == [0, 0, 0, 1]


async def test_one_at_a_time_and_only_forward(core: Core, world: FakeWorld) -> None:
    """A second one, or anything after its end, is a conflict."""
    await ready(core, world)
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", 1, Plan(automatic=False), "acme/ann"
    )
    with pytest.raises(ConflictError, match="rollout_open"):
        await core.policies.rollouts.start_rollout("acme", "p", 2, Plan(), "acme/ann")
    await core.policies.rollouts.halt_rollout("acme", rollout.id, "wait")
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "")
    with pytest.raises(ConflictError, match="rollout_over"):
        await core.policies.rollouts.halt_rollout("acme", rollout.id, "")
    assert [r.id for r in await core.policies.rollouts.list_rollouts("acme", "p", 9)] == [
        rollout.id
    ]


DRAFT: Final = Draft(Document(rules=(RULE,)), "why")
V1, V2, ALL = (Target(vault="v1"),), (Target(vault="v2"),), (Target(all=True),)


async def test_a_refused_draft_changes_nothing(core: Core, world: FakeWorld) -> None:
    """Neither targets nor versions nor bundles, whatever it is refused for."""
    await enrolled(core, world, *VAULTS)
    by_hand = Plan(canary=1, automatic=False)
    opened = await core.policies.rollouts.start_rollout(
        "acme", "p", DRAFT, by_hand, "ann", targets=V1
    )
    await answer(core, world)
    before = await core.policies.policies.get_policy("acme", "p"), await having(core)
    for targets in (V2, ALL, None):
        with pytest.raises(ConflictError, match=opened.id):
            await core.policies.rollouts.start_rollout(
                "acme", "p", DRAFT, by_hand, "ann", targets=targets
            )
    with pytest.raises(ConflictError, match="rollout_open"):
        await core.policies.policies.set_targets("acme", "p", V2)
    both = (Target(vault="v2", tag="x"),)
    for name, targets, code in (("q", both, "target_invalid"), ("q", (), "no_targets")):
        with pytest.raises(ValidationError, match=code):
            await core.policies.rollouts.start_rollout(
                "acme", name, DRAFT, Plan(), "ann", targets=targets
            )
    core.policies.policies.mark_due("acme")
    assert (await core.policies.policies.get_policy("acme", "p"), await having(core)) == before
    assert [row.version for row in await core.policies.policies.list_versions("acme", "p", 9)] == [
        1
    ]
    assert [row.name for row in await core.policies.policies.list_policies("acme")] == ["p"]


async def test_new_targets_come_with_the_steps_and_old_ones_stay_until_the_end(
    core: Core, world: FakeWorld
) -> None:
    """One agent at first, though a stable version exists; who is left out loses it at the end."""
    await enrolled(core, world, *VAULTS)
    await core.policies.rollouts.start_rollout("acme", "p", DRAFT, Plan(), "ann", targets=V1)
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    plan = Plan(canary=1, automatic=False)
    others = tuple(Target(vault=vault) for vault in VAULTS[1:])
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", DRAFT, plan, "ann", targets=others
    )
    found = await having(core)
    assert found.pop("v1") == 1
    assert list(found.values()) == [2]
    await answer(core, world)
    await core.policies.rollouts.advance_rollout("acme", rollout.id, 0, by="x")
    assert await having(core) == {"v1": 1, "v2": 2, "v3": 2, "v4": 2}
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    assert await having(core) == {"v2": 2, "v3": 2, "v4": 2}


@pytest.mark.parametrize("done", [False, True])
async def test_a_roll_back_brings_the_targets_back(
    core: Core, world: FakeWorld, *, done: bool
) -> None:
    """With the version, from the middle and from the end."""
    await enrolled(core, world, *VAULTS)
    await core.policies.rollouts.start_rollout("acme", "p", DRAFT, Plan(), "ann", targets=V1)
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    plan = Plan(automatic=done)
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", DRAFT, plan, "ann", targets=ALL
    )
    if done:
        await answer(core, world)
        await core.policies.rollouts.advance_running()
        assert set(await having(core)) == set(VAULTS)
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")
    assert await having(core) == {"v1": 1}
    assert (await core.policies.policies.get_policy("acme", "p")).targets == V1


async def test_a_roll_back_leaves_targets_that_were_changed_since(
    core: Core, world: FakeWorld
) -> None:
    """They are somebody's later decision."""
    await enrolled(core, world, *VAULTS)
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", DRAFT, Plan(), "ann", targets=V1
    )
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    await core.policies.policies.set_targets("acme", "p", V2)
    await core.policies.rollouts.roll_back_rollout("acme", rollout.id, "bad")
    assert (await core.policies.policies.get_policy("acme", "p")).targets == V2


async def test_what_no_agent_was_given_becomes_not_stable(core: Core, world: FakeWorld) -> None:
    """It waits for the first agent that fits, which is its canary."""
    await enrolled(core, world, *VAULTS)
    plan, us = Plan(canary=1), (Target(tag="us"),)
    rollout = await core.policies.rollouts.start_rollout(
        "acme", "p", DRAFT, plan, "ann", targets=us
    )
    await core.policies.rollouts.advance_running()
    assert (await core.policies.rollouts.get_rollout("acme", rollout.id))[
        0
    ].state is RolloutState.RUNNING
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 0
    await enrolled(core, world, "w1", "w2", tags=("us",))
    core.policies.policies.mark_due("acme")
    for expected in (1, 2):
        assert len(await having(core)) == expected
        await answer(core, world)
        await core.policies.rollouts.advance_running()
    assert (await core.policies.policies.get_policy("acme", "p")).stable == 1


async def test_a_draft_that_no_bundle_holds_is_refused_unwritten(
    core: Core, world: FakeWorld
) -> None:
    """Its size counts before it is stored."""
    await enrolled(core, world, *VAULTS)
    wide = tuple(f"a/{number}/{'x' * 600}" for number in range(90))
    draft = Draft(Document(rules=(Rule(effect="allow", paths=wide, capabilities=("read",)),)))
    for name in "abc":
        await core.policies.rollouts.start_rollout("acme", name, draft, Plan(), "ann", targets=ALL)
    with pytest.raises(ValidationError, match="bundle_too_large"):
        await core.policies.rollouts.start_rollout("acme", "d", draft, Plan(), "ann", targets=ALL)
    with pytest.raises(NotFoundError):
        await core.policies.policies.get_policy("acme", "d")
