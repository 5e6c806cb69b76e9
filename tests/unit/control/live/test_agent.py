"""What control.live.agent promises."""

from actors.testing import FakeWorld
from control.core import Core
from control.live.agent import OBSERVE_SECONDS, tree_columns
from control.live.hub import LiveHub
from control.model import links
from control.services.event_bus import Event, Topic
from control.services.witness import LogFault
from control.store import links as store
from protocols.link import messages as m
from protocols.link import vocabulary as words
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Link, Page
from tests.unit.control.services.test_witness import cosign, leaves, shown


def node(name: words.ActorName, level: int, queued: int = 0) -> m.ActorNode:
    """An actor that runs."""
    return m.ActorNode(
        name=name, level=level, state=words.ActorState.RUNNING, restarts=1, handled=9, mean_us=3,
        max_us=8, queued=queued, bound=16, refused=0, dropped=0,
    )  # fmt: skip


def glimpse(at: int, requests: int = 7) -> m.Glimpse:
    """An agent's word of itself (seconds)."""
    names = words.ActorName
    return m.Glimpse(
        at=at * 1000,
        counters=(m.CounterValue(name=words.CounterName.REQUESTS, value=requests),),
        gauges=(),
        histograms=(),
        nodes=(node(names.AGENT, 0), node(names.STORE, 1), node(names.WRITER, 2, 3),
               node(names.AUDIT, 1), node(names.WRITER, 2)),
    )  # fmt: skip


async def test_every_section_is_there_from_the_beginning(
    core: Core, world: FakeWorld, page: Page
) -> None:
    """Also for an agent that never came."""
    await enrolled(core, world, "v1", tags=("prod",))
    page.watch(1, "agent", "v1")
    await page.until(lambda: 1 in page.rows)
    sections = page.rows[1]
    assert sorted(sections) == [
        "agent", "audit", "backup", "certificate", "link", "metrics", "policies", "rotation",
        "tree",
    ]  # fmt: skip
    assert sections["agent"]["tags"] == ["prod"]
    assert sections["link"]["connected"] is False
    assert sections["tree"] == {"at": 0, "nodes": None}
    assert sections["certificate"]["generation"] == 0
    assert sections["policies"]["contents"] == {}
    assert (sections["audit"]["fault"], sections["audit"]["disputed"]) == ("", False)


async def test_a_log_is_disputed_without_a_fault_of_its_own(
    core: Core, world: FakeWorld, page: Page
) -> None:
    """Another agent has shown another history of it: a person decides here, too."""
    await enrolled(core, world, "v1")
    await cosign(core, world, shown(leaves(7), 0))
    assert isinstance(await cosign(core, world, shown(leaves(7, "x"), 0), vault="v2"), LogFault)
    page.watch(1, "agent", "v1")
    await page.until(lambda: 1 in page.rows)
    audit = page.rows[1]["audit"]
    assert (audit["size"], audit["fault"], audit["disputed"]) == (7, "", True)


async def test_whoever_is_looked_at_is_asked_for_more_and_nobody_else(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """When the page is opened, and when the link comes up while it is open."""
    await enrolled(core, world, "v1", "v2")
    here, other = Link(), Link()
    hub.on_linked("acme", "v2", other)
    page.watch(1, "agent", "v1")
    await page.until(lambda: 1 in page.rows)
    hub.on_linked("acme", "v1", here)
    await page.until(lambda: page.rows[1]["link"]["connected"])
    assert page.rows[1]["link"]["since"] == 5
    assert here.observed == [OBSERVE_SECONDS]
    assert other.observed == []


async def test_what_an_agent_has_acknowledged_is_told_as_it_is_now(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """The stored figure is that of what something waited for; more was never sent than was."""
    await enrolled(core, world, "v1")
    stored = links.AgentLink("acme", "v1", b"s" * 16, 5, 1, 0, 0, 0, 0, b"", 0)
    await core.store.write(lambda tx: store.put_links(tx, stored))
    here = Link(acknowledged=4)
    hub.on_linked("acme", "v1", here)
    page.watch(1, "agent", "v1")
    await page.until(lambda: page.rows.get(1, {}).get("link", {}).get("acknowledged") == 4)
    assert page.rows[1]["link"]["newest"] == 5
    here.acknowledged = 9
    hub.on_unlinked("acme", "v1", here)
    await page.until(lambda: page.rows[1]["link"]["acknowledged"] == 1)


async def test_the_lease_is_renewed_while_somebody_looks_and_no_longer(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page, autojump_clock: object
) -> None:
    """An agent goes on saying less once the page is closed."""
    await enrolled(core, world, "v1")
    link = Link()
    hub.on_linked("acme", "v1", link)
    page.watch(1, "agent", "v1")
    await world.sleep(11)
    assert len(link.observed) >= 3
    page.hub.unsubscribe(next(iter(page.hub._workers)), page.feed, 1)
    before = len(link.observed)
    await world.sleep(20)
    assert len(link.observed) == before


async def test_glimpses_are_shown_and_forgotten_with_the_link(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """Figures and actors as they are, without a read; of an agent that is gone there are none."""
    await enrolled(core, world, "v1")
    link = Link()
    hub.on_linked("acme", "v1", link)
    page.watch(1, "agent", "v1")
    hub.on_message("acme", "v1", glimpse(50))
    await page.until(lambda: page.rows.get(1, {}).get("tree", {}).get("nodes") is not None)
    assert page.rows[1]["metrics"]["counters"] == {"requests": 7}
    hub.on_message("acme", "v1", glimpse(55, requests=9))
    await page.until(lambda: page.rows[1]["metrics"]["counters"] == {"requests": 9})
    hub.on_unlinked("acme", "v1", link)
    await page.until(lambda: page.rows[1]["tree"]["nodes"] is None)
    assert page.rows[1]["link"]["connected"] is False


async def test_events_of_other_agents_are_none(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """Theirs are read for their own pages."""
    await enrolled(core, world, "v1", "v2")
    page.watch(1, "agent", "v1")
    await page.until(lambda: 1 in page.rows)
    projection = next(iter(hub._workers.values())).projection
    assert not projection.on_event(Event(Topic.POLICY, "acme", "v2", 1))
    assert not projection.on_message("v2", glimpse(1))
    assert not projection.on_link_change("v2")
    assert projection.on_event(Event(Topic.TRAIL, "acme", "v1/x", "agents.command"))


def test_paths_follow_from_the_levels_of_the_walk() -> None:
    """Each actor below the nearest one before it that is less deep."""
    paths = [found["path"] for found in tree_columns(glimpse(1))["nodes"]]
    assert paths == [
        "agent", "agent/store", "agent/store/writer", "agent/audit", "agent/audit/writer",
    ]  # fmt: skip


def test_levels_that_make_no_tree_are_shown_all_the_same() -> None:
    """An agent may say what it likes."""
    odd = m.Glimpse(
        at=0,
        counters=(),
        gauges=(),
        histograms=(),
        nodes=(node(words.ActorName.STORE, 2**63 - 1), node(words.ActorName.AUDIT, 0)),
    )
    assert [found["path"] for found in tree_columns(odd)["nodes"]] == ["store", "audit"]


def test_actors_of_one_name_have_paths_of_their_own() -> None:
    """Several jobs may be none of the link's words; a table's rows are told apart by their path."""
    names = words.ActorName
    walk = ((names.WORK, 0), (names.OTHER, 1), (names.OTHER, 1), (names.CLOCK, 2), (names.OTHER, 1))
    told = m.Glimpse(
        at=0,
        counters=(),
        gauges=(),
        histograms=(),
        nodes=tuple(node(name, level) for name, level in walk),
    )
    assert [found["path"] for found in tree_columns(told)["nodes"]] == [
        "work", "work/other", "work/other-2", "work/other-2/clock", "work/other-3",
    ]  # fmt: skip
