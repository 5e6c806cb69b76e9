"""What control.live.fleet promises."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.live.fleet import FleetProjection
from control.live.hub import LiveHub
from control.live.projection import ProjectionContext
from control.model.agents import Life, new_agent
from control.services.event_bus import Event, Topic
from control.services.presence import PresenceRule
from control.services.vault_reports import backup_report, record_backups
from control.store import agents
from control.store.agents import put_vault_id
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Link, Page, metrics

FACTS = m.Registration(
    release="1.2.3",
    platform=words.Platform.LINUX_AMD64,
    backend=words.Backend.SQLITE,
    key_holder=words.KeyHolder.FILE,
    started_at=1,
    policy_version=0,
    policy_hash=bytes(32),
    audit_size=0,
)


async def test_every_agent_has_a_row_with_all_columns(
    core: Core, world: FakeWorld, page: Page
) -> None:
    """Of its organization alone."""
    await enrolled(core, world, "v1", "v2", tags=("prod",))
    page.watch(1, "fleet")
    await page.until(lambda: len(page.rows.get(1, {})) == 2)
    assert page.rows[1]["v1"] == {
        "tags": ["prod"], "version": "", "life": "active", "reason": "", "state": "unknown",
        "vault_id": "", "linked": False, "heard": 0, "policy": "", "why": "",
        "wanted": 0, "applied": 0, "backup": "", "backup_at": 0, "certified": False,
        "rotation": "", "rotations_owed": 0,
        "requests": None, "errors": None, "p50": None, "p99": None, "secrets": None,
    }  # fmt: skip
    page.watch(2, "fleet", org="platform")
    await page.until(lambda: 2 in page.rows)
    assert page.rows[2] == {}


async def test_who_is_locked_is_seen_online_no_more(
    core: Core, world: FakeWorld, page: Page
) -> None:
    """With the lock itself; its last word stays."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    core.presence.record_message("acme", "v1")
    await core.presence.update()
    await page.until(lambda: page.rows[1]["v1"]["state"] == "online")
    heard = page.rows[1]["v1"]["heard"]
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    await page.until(lambda: page.rows[1]["v1"]["life"] == "locked")
    assert (page.rows[1]["v1"]["state"], page.rows[1]["v1"]["heard"]) == ("locked", heard)


async def test_what_people_do_to_an_agent_is_seen(core: Core, world: FakeWorld, page: Page) -> None:
    """Lock and tags: as soon as they are on the trail or told as events."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    await page.until(lambda: page.rows[1]["v1"]["life"] == "locked")
    assert page.said[-1]["rows"] == {"v1": {"life": "locked", "reason": "lost", "state": "locked"}}
    await core.agents.registry.set_tags("acme", "v1", ("west",))
    core.bus.publish(Event(Topic.TRAIL, "acme", "v1", "agents.tag"))
    await page.until(lambda: page.rows[1]["v1"]["tags"] == ["west"])


async def test_an_agent_that_comes_is_a_new_row(core: Core, world: FakeWorld, page: Page) -> None:
    """Whole, in a message of changes."""
    page.watch(1, "fleet")
    await page.until(lambda: 1 in page.rows)
    await enrolled(core, world, "new")
    core.bus.publish(Event(Topic.TRAIL, "acme", "new", "link.enrol"))
    await page.until(lambda: "new" in page.rows[1])
    assert len(page.rows[1]["new"]) == 22


async def test_backups_are_seen_as_they_are_reported(
    core: Core, world: FakeWorld, page: Page
) -> None:
    """By an event, in the rows of all nodes of the vault, and in the section of each."""
    await enrolled(core, world, "a", "b")
    for name in ("a", "b"):
        await core.store.write(lambda tx, n=name: put_vault_id(tx, "acme", n, "shared"))
    page.watch(1, "fleet")
    page.watch(2, "agent", "b")
    await page.until(lambda: len(page.rows.get(1, {})) == 2 and 2 in page.rows)
    assert page.rows[2]["backup"]["state"] == ""
    now = world.now() // 10**6
    told = m.Backups(
        state=words.BackupState.GOOD, newest=now, proven=now, count=4, period=60, rto=7, rpo=3,
        certificate=b"\x0c" * 32,
    )  # fmt: skip
    report = backup_report(AgentName("acme", "a"), told, world)
    [events] = await core.store.write(lambda tx: record_backups(tx, [report]))
    core.bus.publish(*events)
    await page.until(lambda: page.rows[1]["a"]["backup"] == "good")
    row = page.rows[1]["a"]
    assert (row["backup_at"], row["certified"]) == (now // 1000, True)
    await page.until(lambda: page.rows[2]["backup"]["state"] == "good")
    assert page.rows[2]["backup"] == {
        "state": "good", "newest": now // 1000, "proven": now // 1000, "count": 4,
        "rto": 7, "rpo": 3, "certificate": "0c" * 32, "certified": True,
    }  # fmt: skip


async def test_links_presence_and_figures_cost_no_read(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """They are in memory: what is told is what has changed of them."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    link = Link()
    core.presence.record_message("acme", "v1")
    hub.on_linked("acme", "v1", link)
    await page.until(lambda: page.rows[1]["v1"]["linked"])
    assert page.rows[1]["v1"]["state"] == "online"
    assert page.rows[1]["v1"]["heard"] > 0
    hub.on_message("acme", "v1", metrics(100, 0))
    hub.on_message("acme", "v1", metrics(160, 600))
    await page.until(lambda: page.rows[1]["v1"]["requests"] == 10.0)
    hub.on_unlinked("acme", "v1", link)
    await page.until(lambda: not page.rows[1]["v1"]["linked"])
    assert page.said[-1]["rows"] == {"v1": {"linked": False}}


async def test_a_connection_that_was_replaced_ends_nothing(
    core: Core, world: FakeWorld, hub: LiveHub
) -> None:
    """The newer one counts."""
    old, new = Link(), Link()
    hub.on_linked("acme", "v1", old)
    hub.on_linked("acme", "v1", new)
    hub.on_unlinked("acme", "v1", old)
    assert hub.get_link("acme", "v1") is new


async def test_a_registration_has_its_facts_read(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """They are stored by then."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))

    def say(tx: Tx) -> None:
        row = agents.get_agent(tx, "acme", "v1")
        assert row is not None
        told = new_agent("acme", "v1", Life.ACTIVE, now=world.now())
        agents.put_agent(tx, type(row)(**{**_plain(told), "facts": {"release": "1.2.3"}}))

    await core.store.write(say)
    hub.on_message("acme", "v1", FACTS)
    await page.until(lambda: page.rows[1]["v1"]["version"] == "1.2.3")


async def test_silence_makes_an_agent_late_and_offline(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page, autojump_clock: object
) -> None:
    """By the watch's rule, and figures of one that is gone are none."""
    await enrolled(core, world, "v1")
    core.presence._rule = PresenceRule(heartbeat=SECOND, offline=4 * SECOND)
    page.watch(1, "fleet")
    core.presence.record_message("acme", "v1")
    hub.on_message("acme", "v1", metrics(100, 0))
    hub.on_message("acme", "v1", metrics(160, 600))
    await page.until(lambda: page.rows.get(1, {}).get("v1", {}).get("state") == "online")
    for state in ("late", "offline"):
        await page.until(lambda state=state: page.rows[1]["v1"]["state"] == state)
    assert page.rows[1]["v1"]["requests"] is None


async def test_what_is_stale_is_read_a_page_at_a_time(
    core: Core,
    world: FakeWorld,
    around: ProjectionContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the order in which it became so, until nothing is due."""
    monkeypatch.setattr("control.live.fleet.PAGE", 2)
    await enrolled(core, world, "v1", "v2", "v3")
    fleet = FleetProjection(around, "acme", "")
    await fleet.load()
    assert not fleet.has_more
    for vault in ("v3", "v1", "v3", "v2"):
        assert fleet.on_event(Event(Topic.LIFE, "acme", vault, "active"))
    await fleet.refresh()
    assert (list(fleet._stale), fleet.has_more) == (["v2"], True)
    await fleet.refresh()
    assert not fleet.has_more


async def test_everything_is_read_anew_between_what_happens(
    core: Core,
    world: FakeWorld,
    around: ProjectionContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No look holds up what is told: a page at a time; who came is kept, who is gone is dropped."""
    monkeypatch.setattr("control.live.fleet.PAGE", 2)
    await enrolled(core, world, "v1", "v2", "v3", "v4")
    fleet = FleetProjection(around, "acme", "")
    await fleet.load()
    assert set(fleet.collection.keys()) == {"v1", "v2", "v3", "v4"}
    await core.agents.registry.set_tags(
        "acme", "v4", ("west",)
    )  # without an event: another process
    fleet.collection.put_row("ghost", {"life": "active"})
    await fleet.load()  # v1, v2
    assert fleet.has_more
    await enrolled(core, world, "v0")
    fleet.on_event(Event(Topic.LIFE, "acme", "v0", "active"))
    await fleet.refresh()  # v0, which the walk has passed; v3, v4
    assert fleet.collection.get("v4") is not None
    assert fleet.collection.get("v4")["tags"] == ["west"]
    await fleet.load()  # asked again before this walk has ended: another follows it
    assert set(fleet.collection.keys()) == {"v0", "v1", "v2", "v3", "v4"}
    for _ in range(3):
        assert fleet.has_more
        await fleet.refresh()
    assert not fleet.has_more


async def test_events_of_no_concern_are_none(core: Core, around: ProjectionContext) -> None:
    """What is not about an agent, and what people read."""
    fleet = FleetProjection(around, "acme", "")
    assert not fleet.on_event(Event(Topic.ALERT, "acme", "v1", "id"))
    assert not fleet.on_event(Event(Topic.TRAIL, "acme", "ann", "users.create"))
    assert not fleet.on_event(Event(Topic.TRAIL, "acme", "", "agents.find"))


def _plain(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}  # type: ignore[attr-defined]
