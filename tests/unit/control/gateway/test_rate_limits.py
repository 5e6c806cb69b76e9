"""What an agent says for the moment, and costs a write, has a pace."""

from control.gateway.rate_limits import (
    HEALTH_CHANGES_PER_MINUTE,
    REGISTRATIONS_PER_MINUTE,
    REPLAY_RESULTS_PER_MINUTE,
    ConnectionRateLimits,
)
from vault.control_link.intake_queue import REPLAY_QUERIES_PER_MINUTE
from vault.control_link.policy_replays import MAX_WAITING


def test_each_has_its_own() -> None:
    """So much at once, and as much a minute from then on; one does not use up another's."""
    paces = ConnectionRateLimits.unused(5.0)
    for now in (5.0, 65.0):
        taken = [sum(pace.try_consume(now) for _ in range(200)) for pace in paces]
        assert taken == [
            REGISTRATIONS_PER_MINUTE,
            HEALTH_CHANGES_PER_MINUTE,
            REPLAY_RESULTS_PER_MINUTE,
        ]


def test_no_honest_agent_answers_as_fast() -> None:
    """As many as it takes questions, and those that it was at before."""
    assert REPLAY_RESULTS_PER_MINUTE > REPLAY_QUERIES_PER_MINUTE + MAX_WAITING
