"""The table of an agent's life."""

from msgspec.structs import replace

from control.model.agents import NEXT, Life, Presence, living, newcomer


def test_retired_is_for_good_and_pending_is_only_the_beginning() -> None:
    """Nothing follows the one, nothing leads to the other."""
    assert not NEXT[Life.RETIRED]
    assert all(Life.PENDING not in following for following in NEXT.values())
    assert set(NEXT) == set(Life)


def test_a_newcomer_was_never_heard() -> None:
    """Unknown, at no time."""
    agent = newcomer("acme", "v", Life.ACTIVE, now=5, tags=("a",))
    assert (agent.presence, agent.last_seen, agent.created_at) == (Presence.UNKNOWN, 0, 5)


def test_nobody_listens_for_one_that_is_not_active() -> None:
    """What is known of it ends with that life, but for its last word; another one begins anew."""
    heard = replace(
        newcomer("acme", "v", Life.ACTIVE, now=5), presence=Presence.ONLINE, last_seen=8
    )
    locked = living(heard, Life.LOCKED, "lost", now=9)
    assert (locked.presence, locked.last_seen, locked.reason) == (Presence.UNKNOWN, 8, "lost")
    assert living(locked, Life.ACTIVE, "", now=10).presence is Presence.UNKNOWN
    assert living(heard, Life.ACTIVE, "", now=10).presence is Presence.ONLINE
