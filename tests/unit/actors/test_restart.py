"""Promises of the restart decision: intensity per window, bounded exponential backoff, jitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.restart import Escalate, RestartAfter, RestartPolicy, decide_restart, recent_failures

POLICY = RestartPolicy(intensity=3, window=10, backoff_base=1, backoff_cap=3)


def test_jitter_takes_up_to_half() -> None:
    """Restarts of many agents spread out, yet none is earlier than half the backoff."""
    assert decide_restart(POLICY, [0], 0, 0.5) == RestartAfter(0.75)
    assert decide_restart(POLICY, [0], 0, 0.999999) == RestartAfter(pytest.approx(0.5, abs=1e-5))


@pytest.mark.parametrize(
    "terms",
    [
        {"intensity": -1},
        {"window": 0},
        {"backoff_base": -1},
        {"backoff_base": 2, "backoff_cap": 1},
    ],
)
def test_senseless_policy_is_refused(terms: dict[str, float]) -> None:
    """A policy is valid from birth."""
    with pytest.raises(ValueError, match=r"at least 0|backoff_base"):
        RestartPolicy(**terms)  # type: ignore[arg-type]


@given(
    intensity=st.integers(0, 2000),
    times=st.lists(st.floats(0, 1e6), min_size=1, max_size=2100),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_bounds_hold_for_any_history(intensity: int, times: list[float], jitter: float) -> None:
    """Escalates exactly above the intensity; a delay lies between half the base and the cap."""
    policy = RestartPolicy(intensity=intensity, window=1e3, backoff_base=0.1, backoff_cap=5)
    now = max(times)
    decision = decide_restart(policy, times, now, jitter)
    count = len(recent_failures(policy, times, now))
    assert isinstance(decision, Escalate) == (count > intensity)
    if isinstance(decision, RestartAfter):
        assert 0.05 <= decision.delay <= 5
