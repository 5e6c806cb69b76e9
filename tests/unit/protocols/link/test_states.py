"""The table of states."""

import pytest

from protocols.link.errors import LocalFaultError
from protocols.link.messages import Direction, MessageType
from protocols.link.states import (
    RECEIVABLE,
    RECEIVABLE_WHILE_DRAINING,
    SENDABLE,
    TRANSITIONS,
    SessionState,
    Transition,
    next_state,
)


def test_a_session_goes_one_way():
    """From its beginning to its end, and never back."""
    order = list(SessionState)
    for (state, _), after in TRANSITIONS.items():
        assert order.index(after) >= order.index(state)
    state = SessionState.CONNECTING
    for by in (
        Transition.GREET,
        Transition.PROVE,
        Transition.CATCH_UP,
        Transition.LEAVE,
        Transition.END,
    ):
        state = next_state(state, by)
    assert state is SessionState.CLOSED


def test_every_state_can_end_and_is_reached():
    """No state is a trap, none is dead."""
    assert {state for state, by in TRANSITIONS if by is Transition.END} == set(SessionState)
    assert set(TRANSITIONS.values()) == set(SessionState) - {SessionState.CONNECTING}


def test_what_is_not_in_the_table_is_our_bug():
    """A step that does not exist raises."""
    with pytest.raises(LocalFaultError, match="connecting does not prove"):
        next_state(SessionState.CONNECTING, Transition.PROVE)


def test_greetings_are_heard_once_and_by_whom_they_are_for():
    """No second hello, no welcome to a control plane, nothing before the greeting."""
    assert RECEIVABLE[SessionState.CONNECTING, Direction.TO_CONTROL] == {MessageType.HELLO}
    assert RECEIVABLE[SessionState.HELLO_SENT, Direction.TO_AGENT] == {MessageType.WELCOME}
    assert (SessionState.CONNECTING, Direction.TO_AGENT) not in RECEIVABLE
    for state in SENDABLE | {SessionState.DRAINING}:
        for direction in Direction:
            allowed = RECEIVABLE[state, direction]
            assert not {MessageType.HELLO, MessageType.WELCOME} & allowed
            assert allowed >= RECEIVABLE_WHILE_DRAINING
