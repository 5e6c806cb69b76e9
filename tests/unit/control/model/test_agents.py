"""The table of an agent's life."""

from control.model.agents import NEXT, Life, Presence, newcomer


def test_retired_is_for_good_and_pending_is_only_the_beginning() -> None:
    """Nothing follows the one, nothing leads to the other."""
    assert not NEXT[Life.RETIRED]
    assert all(Life.PENDING not in following for following in NEXT.values())
    assert set(NEXT) == set(Life)


def test_a_newcomer_was_never_heard() -> None:
    """Unknown, at no time."""
    agent = newcomer("acme", "v", Life.ACTIVE, now=5, tags=("a",))
    assert (agent.presence, agent.last_seen, agent.created_at) == (Presence.UNKNOWN, 0, 5)
