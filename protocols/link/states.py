"""The states of a session, as a table. What is not in it is a bug of ours or a fault of the peer.

```
connecting → hello_sent → syncing → live → draining → closed
```

`hello_sent`: the agent has sent `Hello`, the control plane `Welcome`; each waits for the other's
first frame of the session. `syncing`: both have proven themselves and send what the other missed.
`live`: what was waiting when the session began is through, both ways. `draining`: a `Bye` was
sent, nothing durable begins.
"""

from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from protocols.link.errors import LocalFaultError
from protocols.link.messages import Direction, MessageType


@unique
class SessionState(StrEnum):
    """Where a session is."""

    CONNECTING = "connecting"
    HELLO_SENT = "hello_sent"
    SYNCING = "syncing"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"


@unique
class Transition(StrEnum):
    """What moves a session on."""

    GREET = "greet"
    """Our `Hello` or `Welcome` is queued."""
    PROVE = "prove"
    """The peer's first frame of the session has come."""
    CATCH_UP = "catch_up"
    """What waited on either side is applied and acknowledged."""
    LEAVE = "leave"
    """Our `Bye` is queued."""
    END = "end"
    """Both have said `Bye`, a fault, a time-out, or the connection is gone."""


_ALIVE: Final = (SessionState.HELLO_SENT, SessionState.SYNCING, SessionState.LIVE)

TRANSITIONS: Final = MappingProxyType(
    {
        (SessionState.CONNECTING, Transition.GREET): SessionState.HELLO_SENT,
        (SessionState.HELLO_SENT, Transition.PROVE): SessionState.SYNCING,
        (SessionState.SYNCING, Transition.CATCH_UP): SessionState.LIVE,
        **{(state, Transition.LEAVE): SessionState.DRAINING for state in _ALIVE[1:]},
        **{
            (state, Transition.END): SessionState.CLOSED
            for state in (SessionState.CONNECTING, *_ALIVE)
        },
        (SessionState.DRAINING, Transition.END): SessionState.CLOSED,
        (SessionState.CLOSED, Transition.END): SessionState.CLOSED,
    }
)

_TALK: Final = frozenset(MessageType) - {MessageType.HELLO, MessageType.WELCOME}

RECEIVABLE: Final = MappingProxyType(
    {
        (SessionState.CONNECTING, Direction.TO_CONTROL): frozenset({MessageType.HELLO}),
        (SessionState.HELLO_SENT, Direction.TO_AGENT): frozenset({MessageType.WELCOME}),
        (SessionState.HELLO_SENT, Direction.TO_CONTROL): _TALK,
        **{
            (state, direction): _TALK
            for state in (SessionState.SYNCING, SessionState.LIVE, SessionState.DRAINING)
            for direction in Direction
        },
    }
)
"""(our state, which way the frame goes) → what the peer may send. After its own `Bye` a peer
sends nothing more but `RECEIVABLE_WHILE_DRAINING`."""

RECEIVABLE_WHILE_DRAINING: Final = frozenset({MessageType.ACK, MessageType.PING, MessageType.PONG})
SENDABLE: Final = frozenset({SessionState.SYNCING, SessionState.LIVE})
"""Where our own messages may be sent."""


def next_state(state: SessionState, by: Transition) -> SessionState:
    """The state that follows. Raises `LocalFaultError` where the table has nothing."""
    try:
        return TRANSITIONS[state, by]
    except KeyError:
        raise LocalFaultError(f"a session that is {state} does not {by}") from None
