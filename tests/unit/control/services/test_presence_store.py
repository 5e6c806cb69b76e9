"""What is stored is judged against what is there by then."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.model.agents import Life, Presence, with_life
from control.services.presence import PresenceResult, PresenceUpdate, store_presence
from control.store import agents
from control.store.rows import Tx
from tests.unit.control.fleet import enrolled

P = Presence


def word(presence: Presence, heard: int, known: int, alert: str = "a") -> PresenceUpdate:
    """Of `acme/v1`, at 9."""
    return PresenceUpdate("acme", "v1", presence, heard, known, alert, 9)


async def write(core: Core, *words: PresenceUpdate) -> PresenceResult:
    """One transaction."""
    return await core.store.write(lambda tx: store_presence(words, tx))


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        (P.UNKNOWN, P.ONLINE, None),
        (P.ONLINE, P.LATE, None),
        (P.LATE, P.ONLINE, None),
        (P.LATE, P.OFFLINE, "firing"),
        (P.OFFLINE, P.ONLINE, "resolved"),
    ],
)
async def test_a_change_and_its_alert(
    core: Core, world: FakeWorld, before: Presence, after: Presence, state: str | None
) -> None:
    """Told once; the same word once more changes nothing."""
    await enrolled(core, world, "v1")
    await write(core, word(before, 5, 0, "first" if before is P.OFFLINE else ""))
    found = await write(core, word(after, 5, 5))
    assert found.changed == [("acme", "v1", after)]
    assert [(alert.code, str(alert.state)) for alert in found.alerts] == (
        [("agent_offline", state)] if state else []
    )
    assert await write(core, word(after, 5, 5, "b")) == PresenceResult([], [], [])


async def test_who_was_heard_meanwhile_is_not_silent(core: Core, world: FakeWorld) -> None:
    """Whoever judged learns what is stored."""
    await enrolled(core, world, "v1")
    await write(core, word(P.ONLINE, 7, 0))
    found = await write(core, word(P.OFFLINE, 5, 5))
    assert found == PresenceResult([], [], [(("acme", "v1"), P.ONLINE, 7)])
    assert (await core.agents.registry.get_agent("acme", "v1")).presence is P.ONLINE


async def test_nobody_is_not_stored(core: Core) -> None:
    """An agent that was locked or was never there."""
    assert await write(core, word(P.ONLINE, 7, 0)) == PresenceResult([], [], [])


async def test_a_word_of_who_was_locked_comes_too_late(core: Core, world: FakeWorld) -> None:
    """It was on its way when the lock was stored: it makes nobody online."""
    await enrolled(core, world, "v1", "v2")
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    await write(core, word(P.ONLINE, 7, 0, ""), word(P.ONLINE, 7, 0, "")._replace(vault="v2"))
    found = [await core.agents.registry.get_agent("acme", vault) for vault in ("v1", "v2")]
    assert [(a.presence, a.last_seen) for a in found] == [(P.UNKNOWN, 0), (P.ONLINE, 7)]


async def test_the_alert_of_who_is_locked_is_over(core: Core, world: FakeWorld) -> None:
    """Nobody listens for it any more; enrolled anew it is heard, and that is no news."""
    await enrolled(core, world, "v1")
    await write(core, word(P.ONLINE, 5, 0))
    await write(core, word(P.OFFLINE, 5, 5, "gone"))
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    [over] = await core.agents.alerts.list_alerts("acme", vault="v1", before=0, limit=9)
    assert (over.code, str(over.state)) == ("agent_offline", "resolved")
    await core.store.write(lambda tx: _anew(tx, "v1", world.now()))
    assert not (await write(core, word(P.ONLINE, 12, 5, "back")._replace(at=12))).alerts


def _anew(tx: Tx, vault: str, now: int) -> None:
    """As enrolling does."""
    known = agents.get_agent(tx, "acme", vault)
    assert known is not None
    agents.put_agent(tx, with_life(known, Life.ACTIVE, "", now=now))
