"""The table of states."""

import pytest

from protocols.link.errors import LocalFaultError
from protocols.link.messages import Direction, MessageType
from protocols.link.states import (
    LAST_WORDS,
    RECEIVABLE,
    SENDABLE,
    TRANSITIONS,
    State,
    Step,
    step,
)


def test_a_session_goes_one_way():
    """From its beginning to its end, and never back."""
    order = list(State)
    for (state, _), after in TRANSITIONS.items():
        assert order.index(after) >= order.index(state)
    state = State.CONNECTING
    for by in (Step.GREET, Step.PROVE, Step.CATCH_UP, Step.LEAVE, Step.END):
        state = step(state, by)
    assert state is State.CLOSED


def test_every_state_can_end_and_is_reached():
    """No state is a trap, none is dead."""
    assert {state for state, by in TRANSITIONS if by is Step.END} == set(State)
    assert set(TRANSITIONS.values()) == set(State) - {State.CONNECTING}


def test_what_is_not_in_the_table_is_our_bug():
    """A step that does not exist raises."""
    with pytest.raises(LocalFaultError, match="connecting does not prove"):
        step(State.CONNECTING, Step.PROVE)


def test_the_table_cannot_be_changed():
    """It is frozen."""
    with pytest.raises(TypeError):
        TRANSITIONS[State.CLOSED, Step.GREET] = State.LIVE  # type: ignore[index]


def test_greetings_are_heard_once_and_by_whom_they_are_for():
    """No second hello, no welcome to a control plane, nothing before the greeting."""
    assert RECEIVABLE[State.CONNECTING, Direction.TO_CONTROL] == {MessageType.HELLO}
    assert RECEIVABLE[State.HELLO_SENT, Direction.TO_AGENT] == {MessageType.WELCOME}
    assert (State.CONNECTING, Direction.TO_AGENT) not in RECEIVABLE
    for state in SENDABLE | {State.DRAINING}:
        for direction in Direction:
            allowed = RECEIVABLE[state, direction]
            assert not {MessageType.HELLO, MessageType.WELCOME} & allowed
            assert allowed >= LAST_WORDS
