import pytest

from control.ca.rollover import (
    MIN_WAIT,
    Phase,
    Rollover,
    finish_rollover,
    start_rollover,
    switch_authority,
)
from control.errors import ConflictError

STEADY = Rollover(phase=Phase.STEADY, active="1")


def test_the_phases_follow_each_other_and_each_waits() -> None:
    """For as long as a certificate lives, to the nanosecond."""
    announced = start_rollover(STEADY, "2", 5)
    assert (announced.active, announced.other) == ("1", "2")
    with pytest.raises(ConflictError, match="wait 1 h"):
        switch_authority(announced, 5 + MIN_WAIT - 1)
    switched = switch_authority(announced, 5 + MIN_WAIT)
    assert (switched.active, switched.other) == ("2", "1")
    with pytest.raises(ConflictError, match="wait 25 h"):
        finish_rollover(switched, switched.since)
    done = finish_rollover(switched, switched.since + MIN_WAIT)
    assert (done.phase, done.active, done.other) == (Phase.STEADY, "2", "")


def test_force_skips_the_wait_and_no_phase() -> None:
    """What is out of order stays refused."""
    announced = start_rollover(STEADY, "2", 5)
    assert finish_rollover(switch_authority(announced, 5, force=True), 5, force=True).active == "2"
    for wrong in (
        lambda: start_rollover(announced, "3", 5),
        lambda: switch_authority(STEADY, 5, force=True),
        lambda: finish_rollover(announced, 5, force=True),
    ):
        with pytest.raises(ConflictError, match="phase"):
            wrong()
