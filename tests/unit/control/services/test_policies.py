"""Policies in versions: written, compared, pointed, refreshed."""

from functools import partial

import msgspec
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError, UnavailableError, ValidationError
from control.model.agents import Life, new_agent
from control.model.people import Organization
from control.model.policies import Outcome, Plan, Target
from control.model.policy_documents import Document, Rule
from control.services import policies as module
from control.services.policies import MAX_VERSION_LEAD, BundleReport, RefreshBatch
from control.store import agents, people, policies
from control.store.lease import ExclusiveLease
from control.store.rows import Tx
from control.store.tables import bundle_bodies
from protocols.link.bundle import Bundle
from protocols.link.codec import decode_struct
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.limits import MAX_BUNDLE
from tests.unit.control.fleet import enrolled


async def test_versions_are_numbered_and_compared(core: Core) -> None:
    """From 1 on, never changed; a diff shows the lines."""
    for text in ("one", "two"):
        await core.policies.policies.write_version(
            "acme", "p", Document(description=text), text, "ann"
        )
    assert [v.version for v in await core.policies.policies.list_versions("acme", "p", 9)] == [2, 1]
    diff = await core.policies.policies.diff_versions("acme", "p", 1, 2)
    assert [line for line in diff if "one" in line or "two" in line] == [
        '-  "description": "one",',
        '+  "description": "two",',
    ]
    with pytest.raises(NotFoundError):
        await core.policies.policies.get_version("acme", "p", 3)
    with pytest.raises(NotFoundError):
        await core.policies.policies.get_policy("other", "p")
    with pytest.raises(ValidationError):
        await core.policies.policies.write_version("acme", "p", Document(name="q"), "", "ann")


async def test_versions_that_would_take_long_to_compare(core: Core) -> None:
    """A diff of the same lines in another order is one of all lines: `difflib` takes minutes."""
    lines = [f"s/{number % 105:x}" for number in range(8_000)]
    for order in (1, 13):
        rules = tuple(
            Rule(effect="deny", paths=tuple(lines[i * order % 8_000 :][:100]), capabilities=("*",))
            for i in range(80)
        )
        await core.policies.policies.write_version("acme", "long", Document(rules=rules), "", "ann")
    diff = await core.policies.policies.diff_versions("acme", "long", 1, 2)
    old, new = ([line[1:] for line in diff[3:] if line[0] == sign] for sign in "-+")
    for number, told in ((1, old), (2, new)):
        version = await core.policies.policies.get_version("acme", "long", number)
        assert msgspec.json.decode("\n".join(told)) == version.document
    assert diff[:2] == ["--- 1", "+++ 2"]


async def test_a_target_is_one_of_three(core: Core) -> None:
    """None or two of them is refused."""
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    for target in (Target(), Target(vault="v", all=True)):
        with pytest.raises(ValidationError, match="target_invalid"):
            await core.policies.policies.set_targets("acme", "p", (target,))


async def test_refreshing_again_changes_nothing(core: Core, world: FakeWorld) -> None:
    """It only does what is missing."""
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    assert await core.policies.policies.refresh_bundles("acme") == 0
    assert await core.policies.policies.get_assignment("acme", "v1") is None


async def test_status_is_read_by_the_page(core: Core, world: FakeWorld) -> None:
    """Behind a name, so many; a policy that is not there is not found."""
    await enrolled(core, world, "v1", "v2", "v3")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    found = await core.policies.policies.list_assignments("acme", "p", after="v1", limit=1)
    assert [row.vault for row in found] == ["v2"]
    assert len(await core.policies.policies.list_assignments("acme")) == 3
    with pytest.raises(NotFoundError):
        await core.policies.policies.list_assignments("acme", "q")


async def test_a_refresh_gives_way_to_a_later_one(core: Core, world: FakeWorld) -> None:
    """Where processes share: what was read before another one read would put back the old."""

    class Shared(ExclusiveLease):
        """As on PostgreSQL with Redis."""

        shared = True

    core.store.lease = Shared()
    await enrolled(core, world, "v1")
    here = core.policies.policies
    old = await here._refresh_number("acme")
    assert await here.refresh_bundles("acme") == 0  # as another process does
    wanted = {"v1": {"p": 1}}
    steering = await core.store.read(lambda tx: policies.rollout_inputs(tx, "acme"))
    late = partial(here._assign, RefreshBatch("acme", wanted, steering, old), world.now())
    assert await core.store.write(late) is None
    assert await here.get_assignment("acme", "v1") is None
    assert await here._refresh_number("other") == 1
    assert await here._refresh_number("acme") == old + 2


async def told(core: Core, now: int, reason: str) -> None:
    """The agent refuses its bundle."""
    row = await core.policies.policies.get_assignment_state("acme", "v1")
    assert row is not None
    report = BundleReport(row.version, applied=False, reason=reason, now=now)
    await core.store.write(lambda tx: core.policies.policies.record_reports(tx, [(row, report)]))


async def test_what_was_refused_for_its_time_is_signed_anew(core: Core, world: FakeWorld) -> None:
    """After a while, under the next version; what is refused for itself is not."""
    await one_with_a_policy(core, world)
    for reason, again in (("not_yet_valid", True), ("expired", True), ("invalid_rule", False)):
        before = await core.policies.policies.get_assignment_state("acme", "v1")
        assert before is not None
        await told(core, world.now(), reason)
        await core.policies.policies.renew_refused()
        assert (
            await core.policies.policies.get_assignment_state("acme", "v1") or before
        ).version == before.version
        world.advance(301)
        await core.policies.policies.renew_refused()
        after = await core.policies.policies.get_assignment_state("acme", "v1")
        assert after is not None
        assert after.version == before.version + again
        assert after.outcome is (Outcome.WANTED if again else Outcome.FAILED)


async def test_a_clock_that_was_ahead_and_is_set_right(core: Core, world: FakeWorld) -> None:
    """Bundles have the machine's time, so none begins when the clock will be there again."""
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    right = world.wall()
    world.step_wall(86_400)
    await told_nothing(core)
    world.step_wall(-86_400)
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    first = await core.policies.policies.get_assignment("acme", "v1")
    assert first is not None
    assert decode_struct(first.bundle[SIGNATURE_SIZE:], Bundle).not_before < right // 10**6
    world.step_wall(86_400)
    await told(core, world.now(), "not_yet_valid")
    world.step_wall(-86_400)
    await core.policies.policies.renew_refused()
    again = await core.policies.policies.get_assignment_state("acme", "v1")
    assert again is not None
    assert again.version == first.version + 1


async def told_nothing(core: Core) -> None:
    """Somebody asks for the time while the clock is wrong."""
    core.world.now()
    await core.policies.policies.refresh_bundles("acme")


async def test_rules_that_no_bundle_has_any_more_go(core: Core, world: FakeWorld) -> None:
    """Two agents share them; once both have others, those of before are removed."""
    await enrolled(core, world, "v1", "v2")
    await core.policies.policies.write_version(
        "acme", "p", Document(description="x" * 2000), "", "ann"
    )
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    assert await core.store.read(shared) == 1
    await core.policies.policies.write_version("acme", "q", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "q", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "q", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    assert await core.store.read(shared) == 2
    await core.policies.policies.delete_unused_bodies()
    assert await core.store.read(shared) == 1


def shared(tx: Tx) -> int:
    """How many rules are stored apart."""
    return len(tx.execute(sa.select(bundle_bodies.c.digest)).all())


@pytest.mark.parametrize("ahead", [2**63 - 1, 2**63 - 3, MAX_VERSION_LEAD + 2])
async def test_no_agent_stops_its_organizations_policies(
    core: Core, world: FakeWorld, ahead: int
) -> None:
    """By a version that nobody can have given it, above which there soon is none any more."""
    await enrolled(core, world, "v1", "v2")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    row = await core.policies.policies.get_assignment_state("acme", "v1")
    assert row is not None
    unknown = replace(row, outcome=Outcome.UNKNOWN, reason="not_issued", changed_at=world.now())
    for applied, after in ((False, row), (True, unknown)):
        report = BundleReport(ahead, applied=applied, reason="x", now=world.now())
        told = [(row, report)]
        assert await core.store.write(
            lambda tx, told=told: core.policies.policies.record_reports(tx, told)
        ) == [after]
    await core.policies.policies.write_version("acme", "q", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "q", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "q", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    found = await core.policies.policies.list_assignments("acme")
    assert [(each.vault, each.version) for each in found] == [("v1", 2), ("v2", 2)]


async def one_with_a_policy(core: Core, world: FakeWorld) -> None:
    """`v1`, whose first bundle has `p`."""
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()


async def test_an_agent_is_followed_as_far_as_a_backup_can_lack(
    core: Core, world: FakeWorld
) -> None:
    """It gets a version above its own, with a gap."""
    await one_with_a_policy(core, world)
    row = await core.policies.policies.get_assignment_state("acme", "v1")
    assert row is not None
    world.advance(60)
    report = BundleReport(MAX_VERSION_LEAD + 1, applied=True, reason="", now=world.now())
    await core.store.write(lambda tx: core.policies.policies.record_reports(tx, [(row, report)]))
    found = await core.policies.policies.get_assignment_state("acme", "v1")
    assert found is not None
    assert (found.version, found.applied) == (MAX_VERSION_LEAD + 3, MAX_VERSION_LEAD + 1)


async def test_an_agent_that_says_it_is_ahead_is_believed_once_a_minute(
    core: Core, world: FakeWorld
) -> None:
    """Each time costs a signature and a bundle. What it said meanwhile is seen to afterwards."""
    await one_with_a_policy(core, world)

    async def say(version: int, *, applied: bool = True) -> tuple[int, Outcome]:
        report = BundleReport(version, applied=applied, reason="older", now=world.now())
        await core.store.write(
            lambda tx: core.policies.policies.record_report(tx, "acme", "v1", report)
        )
        found = await core.policies.policies.get_assignment_state("acme", "v1")
        assert found is not None
        return found.version, found.outcome

    assert await say(1) == (1, Outcome.APPLIED)
    world.advance(60)
    assert await say(9, applied=False) == (1, Outcome.APPLIED)  # refused, whatever it was
    assert await say(7) == (9, Outcome.WANTED)
    assert await say(9) == (9, Outcome.APPLIED)
    assert await say(20) == (9, Outcome.WANTED)
    assert await say(21) == (9, Outcome.WANTED)
    assert await say(9, applied=False) == (9, Outcome.WANTED)
    await core.policies.policies.renew_refused()
    assert await say(9, applied=False) == (9, Outcome.WANTED)
    world.advance(61)
    await core.policies.policies.renew_refused()
    found = await core.policies.policies.get_assignment_state("acme", "v1")
    assert found is not None
    assert (found.version, found.outcome, found.applied) == (23, Outcome.WANTED, 21)


async def test_who_refuses_on_purpose_is_in_nobodys_way(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has waited longest is first to be tried again."""
    monkeypatch.setattr(module, "CHUNK", 2)
    await enrolled(core, world, "a", "b", "z")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    for vault in ("z", "a", "b"):
        row = await core.policies.policies.get_assignment_state("acme", vault)
        assert row is not None
        report = BundleReport(row.version, applied=False, reason="expired", now=world.now())
        await core.store.write(
            lambda tx, v=vault, r=report: core.policies.policies.record_report(tx, "acme", v, r)  # type: ignore[misc]
        )
        world.advance(1)
    world.advance(301)
    await core.policies.policies.renew_refused()
    status = await core.policies.policies.list_assignments("acme")
    assert [row.vault for row in status if row.outcome is Outcome.WANTED] == ["a", "z"]


LARGE = Document(description="x" * (MAX_BUNDLE // 4))
"""Three of them fit into a bundle, the fourth does not."""
THREE = {"a": 1, "b": 1, "c": 1}


async def test_an_agent_whose_bundle_is_full_is_in_nobodys_way(
    core: Core, world: FakeWorld
) -> None:
    """It keeps what it has; others of its organization get theirs, and later organizations too."""
    await core.store.write(
        lambda tx: people.add_organization(tx, Organization("zeta", "zeta", world.now()))
    )
    row = new_agent("zeta", "v1", Life.ACTIVE, now=world.now())
    await core.store.write(lambda tx: agents.add_agent(tx, row))
    await enrolled(core, world, "v1")
    for org, name in (*(("acme", name) for name in (*THREE, "q")), ("zeta", "p")):
        await core.policies.policies.write_version(org, name, LARGE, "", "ann")
        target = Target(vault="v2") if name == "q" else Target(all=True)
        await core.policies.policies.set_targets(org, name, (target,))
        await core.policies.rollouts.start_rollout(org, name, 1, Plan(), "ann")
    await enrolled(core, world, "v2")  # it is meant by all four
    await enrolled(core, world, "v3")
    for org in ("acme", "zeta"):
        core.policies.policies.mark_due(org)
    await core.policies.policies.refresh_due()
    found = await core.policies.policies.list_assignments("acme")
    assert [(each.vault, each.contents) for each in found] == [("v1", THREE), ("v3", THREE)]
    assert len(await core.policies.policies.list_assignments("zeta")) == 1


async def test_an_organization_that_fails_is_in_nobodys_way(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are served, it is due again, and the failure is told."""
    done: list[str] = []

    async def refresh(org: str) -> int:
        if org == "acme":
            raise UnavailableError("store_busy", "not now")
        done.append(org)
        return 0

    monkeypatch.setattr(core.policies.policies, "refresh_bundles", refresh)
    for org in ("acme", "zeta"):
        core.policies.policies.mark_due(org)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="store_busy"):
            await core.policies.policies.refresh_due()
    assert done == ["zeta"]


async def test_what_no_bundle_holds_is_not_rolled_out(core: Core, world: FakeWorld) -> None:
    """Alone or with the other policies of an agent; for others it is."""
    await enrolled(core, world, "v1", "v2")
    for name in (*THREE, "q"):
        await core.policies.policies.write_version("acme", name, LARGE, "", "ann")
    for name in THREE:
        await core.policies.policies.set_targets("acme", name, (Target(vault="v1"),))
        await core.policies.rollouts.start_rollout("acme", name, 1, Plan(), "ann")
    await core.policies.policies.set_targets("acme", "q", (Target(vault="v1"),))
    with pytest.raises(ValidationError, match="bundle_too_large"):
        await core.policies.rollouts.start_rollout("acme", "q", 1, Plan(), "ann")
    await core.policies.policies.set_targets("acme", "q", (Target(vault="v2"),))
    await core.policies.rollouts.start_rollout("acme", "q", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    assert len(await core.policies.policies.list_assignments("acme")) == 2
