"""A replay at one agent."""

import pytest

from control.model.replays import OPEN_STATES, ReplayAgent, ReplayNumbers, State


@pytest.mark.parametrize("state", State)
def test_only_what_is_open_runs_out(state: State) -> None:
    """In time it counts as it is; afterwards nobody waits for it any more."""
    row = ReplayAgent("acme", "r", "v1", state, ReplayNumbers(), 5)
    assert row.as_of(9, 10) is row
    over = row.as_of(10, 10)
    if state in OPEN_STATES:
        wanted = State.OFFLINE if state is State.WAITING else State.EXPIRED
        assert (over.state, over.changed_at) == (wanted, 10)
    else:
        assert over is row
