"""Promises of a seat: who comes back after which end, and whom a strategy affects."""

from __future__ import annotations

import pytest

from actors import Child, Restart, Strategy, SystemWorld
from actors.cell import Cell
from actors.child_state import ChildState, Phase, affected_children
from actors.testing import CrashError, Diary, Probe


def seat(restart: Restart = Restart.PERMANENT) -> ChildState:
    """A seat with an actor that is never started."""
    child = Child("a", lambda: Probe("a", Diary()))
    return ChildState(Cell(child, "s/a", SystemWorld()), restart)


@pytest.mark.parametrize(
    ("restart", "after_end", "after_failure", "after_our_stop"),
    [
        (Restart.PERMANENT, True, True, True),
        (Restart.TRANSIENT, False, True, True),
        (Restart.TEMPORARY, False, False, False),
    ],
)
def test_who_returns(
    restart: Restart, *, after_end: bool, after_failure: bool, after_our_stop: bool
) -> None:
    """OTP's three kinds; a transient child that we stopped with its group comes back with it."""
    it = seat(restart)
    it.end(None)
    assert it.will_restart() is after_end
    assert it.will_restart(stopped_by_us=True) is after_our_stop
    it.end(CrashError())
    assert it.will_restart() is after_failure


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, [1]),
        (Strategy.ONE_FOR_ALL, [0, 1, 3]),
        (Strategy.REST_FOR_ONE, [1, 3]),
    ],
)
def test_who_is_affected(strategy: Strategy, expected: list[int]) -> None:
    """In start order; a child that is done stays so."""
    seats = [seat() for _ in range(4)]
    seats[2].retire()
    assert [seats.index(s) for s in affected_children(strategy, seats, seats[1])] == expected


def test_phases() -> None:
    """Alive while a task of it runs; settled once those after it may start."""
    it = seat()
    seen = {}
    for phase in Phase:
        it.phase = phase
        seen[phase] = (it.is_alive, it.is_settled)
    assert seen == {
        Phase.DOWN: (False, False),
        Phase.STARTING: (True, False),
        Phase.RUNNING: (True, True),
        Phase.ENDED: (False, False),
        Phase.DONE: (False, True),
    }
