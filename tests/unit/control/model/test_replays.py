"""A replay at one agent."""

import pytest

from control.model.replays import OPEN, Numbers, ReplayAgent, State


@pytest.mark.parametrize("state", State)
def test_only_what_is_open_runs_out(state: State) -> None:
    """In time it counts as it is; afterwards nobody waits for it any more."""
    row = ReplayAgent("acme", "r", "v1", state, Numbers(), 5)
    assert row.at(9, 10) is row
    over = row.at(10, 10)
    if state in OPEN:
        wanted = State.OFFLINE if state is State.WAITING else State.EXPIRED
        assert (over.state, over.changed_at) == (wanted, 10)
    else:
        assert over is row
