"""What control.live.changes promises."""

from control.core import Core
from control.live.changes import MAX_NEWEST
from control.model.operation import Operation
from control.model.people import Caller, Origin, Role
from tests.unit.control.live.conftest import Page

ANN = Caller("acme", "ann", Role.OWNER, "t")


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
    for _ in range(MAX_NEWEST):
        await core.audit.log.record(operation("agents.lock"), ANN, "outcome", "ok")
    page.watch(1, "changes")
    await page.until(lambda: len(page.rows.get(1, {})) == MAX_NEWEST)
    first = min(page.rows[1], key=int)
    await core.audit.log.record(operation("agents.lock"), ANN, "outcome", "ok")
    await page.until(lambda: first not in page.rows[1])
    assert len(page.rows[1]) == MAX_NEWEST
