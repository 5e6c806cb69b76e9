"""A circuit breaker as a table of pure transitions, and a small holder for it.

Closed: calls pass; `threshold` failures in a row open it. Open: calls are refused for `cooldown`
seconds. Half open: one probe passes; its success closes the circuit, its failure opens it again.
(The states are those of Nygard, "Release It!", chapter on stability patterns.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

from actors.errors import CircuitOpen


class Circuit(Enum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One moment of a breaker: the policy and what was seen so far. Times in seconds."""

    threshold: int = 5
    cooldown: float = 30.0
    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    """In a row."""
    since: float = 0.0
    """When it last opened, or let a probe through."""

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.cooldown <= 0:
            raise ValueError("threshold is at least 1 and cooldown above 0")


def admit(state: BreakerState, now: float) -> tuple[BreakerState, bool]:
    """Whether a call may pass at `now`.

    A probe that never reports back holds the circuit half open for one more cooldown, not forever.
    """
    if state.circuit is Circuit.CLOSED:
        return state, True
    if now - state.since < state.cooldown:
        return state, False
    return replace(state, circuit=Circuit.HALF_OPEN, since=now), True


def on_success(state: BreakerState) -> BreakerState:
    """A call that had been admitted went well.

    While the circuit is open this is a late answer from before it opened: it proves nothing.
    """
    if state.circuit is Circuit.OPEN:
        return state
    return replace(state, circuit=Circuit.CLOSED, failures=0)


def on_failure(state: BreakerState, now: float) -> BreakerState:
    """A call that had been admitted failed."""
    if state.circuit is Circuit.OPEN:
        return state
    failures = state.failures + 1
    if state.circuit is Circuit.CLOSED and failures < state.threshold:
        return replace(state, failures=failures)
    return replace(state, circuit=Circuit.OPEN, failures=failures, since=now)


def on_cancel(state: BreakerState, now: float) -> BreakerState:
    """A call that had been admitted was cancelled: it says nothing, and frees the probe."""
    if state.circuit is Circuit.HALF_OPEN:
        return replace(state, circuit=Circuit.OPEN, since=now - state.cooldown)
    return state


class Breaker:
    """Holds a state for one callee; `clock` is a world's `monotonic`."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        threshold: int = 5,
        cooldown: float = 30.0,
        counts: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> None:
        """`counts`: the exceptions that say the callee is ill; others prove that it is alive."""
        self._clock = clock
        self._counts = counts
        self.state = BreakerState(threshold, cooldown)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Put the call in this block. Raises `CircuitOpen` instead of entering it.

        What the block raises passes on. A cancellation counts neither way.
        """
        self.state, admitted = admit(self.state, self._clock())
        if not admitted:
            raise CircuitOpen("the last calls failed; not trying again yet")
        try:
            yield
        except self._counts:
            self.state = on_failure(self.state, self._clock())
            raise
        except Exception:
            self.state = on_success(self.state)
            raise
        except BaseException:
            self.state = on_cancel(self.state, self._clock())
            raise
        else:
            self.state = on_success(self.state)
