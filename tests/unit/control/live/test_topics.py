"""What control.live.topics promises."""

from actors.testing import FakeWorld
from control.core import Core
from control.live.hub import MAX_POINTS, LiveHub
from control.live.topics import MAX_NEWEST_ALERTS, MAX_NEWEST_CHANGES
from control.model.operation import Operation
from control.model.people import Caller, Origin, Role
from control.model.policies import Plan, Target
from control.model.policy_documents import Document, Rule
from control.model.records import Severity
from control.services.event_bus import Event, Topic
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Page, metrics

ANN = Caller("acme", "ann", Role.OWNER, "t")


async def test_a_rollout_is_followed_step_by_step(core: Core, world: FakeWorld, page: Page) -> None:
    """From its start to its end, with how the agents fare while it is open."""
    await enrolled(core, world, "v1", "v2")
    page.watch(1, "rollouts")
    await page.until(lambda: 1 in page.rows)
    assert page.rows[1] == {}
    await write(core)
    made = await core.policies.rollouts.start_rollout("acme", "base", 1, Plan(canary=1), "acme/ann")
    core.bus.publish(Event(Topic.TRAIL, "acme", "base", "rollouts.start"))
    await page.until(lambda: made.id in page.rows[1])
    row = page.rows[1][made.id]
    assert (row["policy"], row["state"], row["steps"], row["reached"]) == ("base", "running", 2, 1)
    assert (row["total"], row["automatic"], row["through"]) == (2, True, False)
    await core.policies.rollouts.halt_rollout("acme", made.id, "enough")
    core.bus.publish(Event(Topic.TRAIL, "acme", made.id, "rollouts.halt"))
    await page.until(lambda: page.rows[1][made.id]["state"] == "halted")
    assert page.rows[1][made.id]["reason"] == "enough"
    await core.policies.rollouts.roll_back_rollout("acme", made.id, "")
    core.bus.publish(Event(Topic.TRAIL, "acme", made.id, "rollouts.roll_back"))
    await page.until(lambda: page.rows[1][made.id]["state"] == "rolled_back")
    assert page.rows[1][made.id]["reached"] is None


async def write(core: Core) -> None:
    """A policy for all agents."""
    rules = (Rule(effect="allow", paths=("a/*",), capabilities=("read",)),)
    await core.policies.policies.write_version(
        "acme", "base", Document(rules=rules), "", "acme/ann"
    )
    await core.policies.policies.set_targets("acme", "base", (Target(all=True),))


def operation(name: str, org: str = "acme", **detail: str) -> Operation:
    """As the pipeline has it."""
    return Operation(
        name=name, request_id="r", credential=None, origin=Origin("10.0.0.9"), org=org, target="v1",
        detail=dict(detail),
    )  # fmt: skip


async def test_what_people_do_is_seen_at_once(core: Core, page: Page) -> None:
    """Who, what, how it went: no detail, no token, nothing of another organization."""
    page.watch(1, "changes")
    await page.until(lambda: 1 in page.rows)
    await core.audit.log.record(operation("agents.lock", "platform"), ANN, "outcome", "ok")
    await core.audit.log.record(
        operation("agents.lock", why="hush"), ANN, "outcome", "denied", "no"
    )
    await page.until(lambda: bool(page.rows[1]))
    (row,) = page.rows[1].values()
    assert row.pop("at") > 0
    assert row == {
        "actor": "acme/ann", "operation": "agents.lock", "target": "v1", "phase": "outcome",
        "result": "denied", "code": "no", "ip": "10.0.0.9",
    }  # fmt: skip


async def test_only_the_newest_are_kept(core: Core, page: Page) -> None:
    """The oldest goes as a new one comes."""
    for _ in range(MAX_NEWEST_CHANGES):
        await core.audit.log.record(operation("agents.lock"), ANN, "outcome", "ok")
    page.watch(1, "changes")
    await page.until(lambda: len(page.rows.get(1, {})) == MAX_NEWEST_CHANGES)
    first = min(page.rows[1], key=int)
    await core.audit.log.record(operation("agents.lock"), ANN, "outcome", "ok")
    await page.until(lambda: first not in page.rows[1])
    assert len(page.rows[1]) == MAX_NEWEST_CHANGES


async def test_points_are_told_as_they_are_made(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """By their second; those made before anybody looked are in the snapshot."""
    await enrolled(core, world, "v1")
    core.presence.record_message("acme", "v1")
    hub.on_message("acme", "v1", metrics(100, 0))
    hub.add_points()
    page.watch(1, "curves")
    await page.until(lambda: len(page.rows.get(1, {})) == 1)
    first = next(iter(page.rows[1].values()))
    assert first == {"requests": None, "errors": None, "p50": None, "p99": None, "online": 1}
    hub.on_message("acme", "v1", metrics(160, 600))
    page.hub._points["acme"].clear()
    hub.add_points()
    await page.until(lambda: [row["requests"] for row in page.rows[1].values()] == [10.0])


async def test_no_more_points_are_kept_than_the_bound(hub: LiveHub) -> None:
    """An hour's."""
    hub.on_message("acme", "v1", metrics(100, 0))
    for _ in range(MAX_POINTS + 5):
        hub.add_points()
    assert len(hub.curve_points("acme")) == MAX_POINTS
    assert hub.curve_points("nobody") == []


async def test_alerts_are_seen_as_they_are_raised_and_acknowledged(core: Core, page: Page) -> None:
    """Whoever did it; those of another organization are not."""
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    mine = core.agents.alerts.new_alert(
        "acme", "v1", "disk_low", Severity.WARNING, "the disk is low"
    )
    foreign = core.agents.alerts.new_alert(
        "platform", "", "disk_low", Severity.WARNING, "not for you"
    )
    await core.agents.alerts.fire_alerts(foreign, mine)
    await page.until(lambda: mine.id in page.rows[1])
    assert page.rows[1][mine.id]["message"] == "the disk is low"
    assert page.rows[1][mine.id]["acknowledged_at"] == 0
    await core.agents.alerts.acknowledge_alert("acme", mine.id, "acme/ann")
    core.bus.publish(Event(Topic.TRAIL, "acme", mine.id, "alerts.acknowledge"))
    await page.until(lambda: page.rows[1][mine.id]["acknowledged_by"] == "acme/ann")
    assert list(page.rows[1]) == [mine.id]


async def test_the_oldest_go_when_there_are_many(core: Core, page: Page) -> None:
    """The page has the newest and all that are not resolved; REST has them all."""
    raised = [
        core.agents.alerts.new_alert("acme", "", f"c{n}", Severity.INFO, "x")
        for n in range(MAX_NEWEST_ALERTS + 2)
    ]
    await core.agents.alerts.fire_alerts(*raised)
    oldest = await core.agents.alerts.list_alerts(
        "acme", vault="", before=0, limit=MAX_NEWEST_ALERTS + 2
    )
    await core.agents.alerts.acknowledge_alert("acme", oldest[-1].id, "acme/ann")
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    assert len(page.rows[1]) == MAX_NEWEST_ALERTS + 1
    assert oldest[-1].id not in page.rows[1]
    assert oldest[-2].id in page.rows[1]
