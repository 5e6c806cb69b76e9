"""What callers see of things."""

import pytest

from control.api import views
from control.model.policies import Plan, Rollout, RolloutState
from control.services.rollout_steps import Progress


@pytest.mark.parametrize("state", RolloutState)
def test_nobody_is_on_the_way_to_what_was_taken_back(state: RolloutState) -> None:
    """Its agents get the version before: they would be `wanted` for good."""
    row = Rollout("r-1", "acme", "p", 2, 1, Plan(), 0, state, "", "ann", 5, 6)
    fares = Progress(wanted=2, total=2)
    wanted = None if state is RolloutState.ROLLED_BACK else fares
    assert views.rollout_view(row, fares).progress == wanted
