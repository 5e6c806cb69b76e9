"""The table of an agent's life, and the one word for it."""

import pytest
from msgspec.structs import replace

from control.model.agents import (
    LIFECYCLE_TRANSITIONS,
    Health,
    Life,
    Presence,
    State,
    new_agent,
    status_of,
    with_life,
)


def test_retired_is_for_good_and_pending_is_only_the_beginning() -> None:
    """Nothing follows the one, nothing leads to the other."""
    assert not LIFECYCLE_TRANSITIONS[Life.RETIRED]
    assert all(Life.PENDING not in following for following in LIFECYCLE_TRANSITIONS.values())
    assert set(LIFECYCLE_TRANSITIONS) == set(Life)


def test_a_newcomer_was_never_heard() -> None:
    """Unknown, at no time."""
    agent = new_agent("acme", "v", Life.ACTIVE, now=5, tags=("a",))
    assert (agent.presence, agent.last_seen, agent.created_at) == (Presence.UNKNOWN, 0, 5)


def test_nobody_listens_for_one_that_is_not_active() -> None:
    """What is known of it ends with that life, but for its last word; another one begins anew."""
    heard = replace(
        new_agent("acme", "v", Life.ACTIVE, now=5), presence=Presence.ONLINE, last_seen=8
    )
    locked = with_life(heard, Life.LOCKED, "lost", now=9)
    assert (locked.presence, locked.last_seen, locked.reason) == (Presence.UNKNOWN, 8, "lost")
    assert with_life(locked, Life.ACTIVE, "", now=10).presence is Presence.UNKNOWN
    assert with_life(heard, Life.ACTIVE, "", now=10).presence is Presence.ONLINE


@pytest.mark.parametrize(
    ("life", "presence", "health", "state"),
    [
        (Life.LOCKED, Presence.ONLINE, Health.SERVING, State.LOCKED),
        (Life.PENDING, Presence.UNKNOWN, Health.UNSAID, State.PENDING),
        (Life.ACTIVE, Presence.UNKNOWN, Health.UNSAID, State.UNKNOWN),
        (Life.ACTIVE, Presence.OFFLINE, Health.SEALED, State.OFFLINE),
        (Life.ACTIVE, Presence.ONLINE, Health.SEALED, State.SEALED),
        (Life.ACTIVE, Presence.LATE, Health.SEALED, State.SEALED),
        (Life.ACTIVE, Presence.ONLINE, Health.REFUSING, State.REFUSING),
        (Life.ACTIVE, Presence.LATE, Health.DEGRADED, State.LATE),
        (Life.ACTIVE, Presence.ONLINE, Health.DEGRADED, State.DEGRADED),
        (Life.ACTIVE, Presence.ONLINE, Health.SERVING, State.ONLINE),
        (Life.ACTIVE, Presence.ONLINE, Health.UNSAID, State.ONLINE),
    ],
)
def test_an_agent_has_one_state(
    life: Life, presence: Presence, health: Health, state: State
) -> None:
    """Who serves nothing is not online, whoever hears it."""
    assert status_of(life, presence, health) is state


def test_what_a_locked_agent_said_of_itself_is_forgotten() -> None:
    """Enrolled anew it may be another one."""
    said = replace(new_agent("acme", "v", Life.ACTIVE, now=5), health=Health.SEALED)
    assert with_life(said, Life.LOCKED, "lost", now=9).health is Health.UNSAID
    assert with_life(said, Life.ACTIVE, "", now=9).health is Health.SEALED
