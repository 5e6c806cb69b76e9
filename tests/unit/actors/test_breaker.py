"""Promises of the circuit breaker: when it opens, probes, closes, and what counts."""

from __future__ import annotations

import pytest
import trio

from actors.breaker import Breaker, BreakerState, Circuit, admit, on_cancel, on_failure, on_success
from actors.errors import CircuitOpen
from actors.testing import FakeWorld

FRESH = BreakerState(threshold=2, cooldown=10)
OPEN = on_failure(on_failure(FRESH, 100), 100)


def test_opens_after_failures_in_a_row() -> None:
    """A success in between begins the count anew."""
    assert on_failure(FRESH, 0).circuit is Circuit.CLOSED
    assert on_failure(on_success(on_failure(FRESH, 0)), 0).circuit is Circuit.CLOSED
    assert OPEN.circuit is Circuit.OPEN


def test_open_refuses_until_the_cooldown_is_over() -> None:
    """Then exactly one probe passes, and the next only if that one is lost for a cooldown."""
    assert admit(OPEN, 109.9) == (OPEN, False)
    probing, admitted = admit(OPEN, 110)
    assert admitted
    assert probing.circuit is Circuit.HALF_OPEN
    assert admit(probing, 119.9)[1] is False
    assert admit(probing, 120)[1] is True


def test_probe_decides() -> None:
    """Its success closes the circuit; its failure opens it for another whole cooldown."""
    probing, _ = admit(OPEN, 110)
    assert on_success(probing) == FRESH.__class__(2, 10, Circuit.CLOSED, 0, 110)
    again = on_failure(probing, 111)
    assert admit(again, 120.9)[1] is False
    assert admit(again, 121)[1] is True


def test_late_answers_do_not_move_an_open_circuit() -> None:
    """Calls from before it opened neither close it nor prolong it."""
    assert on_success(OPEN) == OPEN
    assert on_failure(OPEN, 105) == OPEN
    assert on_cancel(OPEN, 105) == OPEN


def test_abandoned_probe_frees_its_place() -> None:
    """A cancelled probe says nothing: the next call may probe at once."""
    probing, _ = admit(OPEN, 110)
    assert admit(on_cancel(probing, 111), 111)[1] is True
    assert on_cancel(FRESH, 1) == FRESH


@pytest.mark.parametrize("terms", [{"threshold": 0}, {"cooldown": 0}])
def test_senseless_terms_are_refused(terms: dict[str, int]) -> None:
    """A breaker that never closes or never opens is a mistake in wiring."""
    with pytest.raises(ValueError, match="threshold"):
        BreakerState(**terms)  # type: ignore[arg-type]


def test_guard_counts_what_it_is_told_to() -> None:
    """Only the named exceptions say that the callee is ill; all of them pass on."""
    world = FakeWorld()
    breaker = Breaker(world.monotonic, threshold=1, cooldown=5, counts=OSError)
    with pytest.raises(KeyError), breaker.guard():
        raise KeyError
    assert breaker.state.circuit is Circuit.CLOSED
    with pytest.raises(OSError, match="down"), breaker.guard():
        raise OSError("down")
    entered = False
    with pytest.raises(CircuitOpen), breaker.guard():
        entered = True
    assert not entered
    world.advance(5)
    with breaker.guard():
        pass
    assert breaker.state.circuit is Circuit.CLOSED


async def test_cancelled_call_counts_neither_way() -> None:
    """Cancelled passes, and a cancelled probe leaves the circuit ready for the next."""
    world = FakeWorld()
    breaker = Breaker(world.monotonic, threshold=1, cooldown=5)
    with pytest.raises(OSError, match="down"), breaker.guard():
        raise OSError("down")
    world.advance(5)
    with trio.move_on_after(0) as scope, breaker.guard():
        await trio.sleep_forever()
    assert scope.cancelled_caught
    with breaker.guard():
        pass
    assert breaker.state.circuit is Circuit.CLOSED
