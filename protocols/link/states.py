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
class State(StrEnum):
    """Where a session is."""

    CONNECTING = "connecting"
    HELLO_SENT = "hello_sent"
    SYNCING = "syncing"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"


@unique
class Step(StrEnum):
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


_ALIVE: Final = (State.HELLO_SENT, State.SYNCING, State.LIVE)

TRANSITIONS: Final = MappingProxyType(
    {
        (State.CONNECTING, Step.GREET): State.HELLO_SENT,
        (State.HELLO_SENT, Step.PROVE): State.SYNCING,
        (State.SYNCING, Step.CATCH_UP): State.LIVE,
        **{(state, Step.LEAVE): State.DRAINING for state in _ALIVE[1:]},
        **{(state, Step.END): State.CLOSED for state in (State.CONNECTING, *_ALIVE)},
        (State.DRAINING, Step.END): State.CLOSED,
        (State.CLOSED, Step.END): State.CLOSED,
    }
)

_TALK: Final = frozenset(MessageType) - {MessageType.HELLO, MessageType.WELCOME}

RECEIVABLE: Final = MappingProxyType(
    {
        (State.CONNECTING, Direction.TO_CONTROL): frozenset({MessageType.HELLO}),
        (State.HELLO_SENT, Direction.TO_AGENT): frozenset({MessageType.WELCOME}),
        (State.HELLO_SENT, Direction.TO_CONTROL): _TALK,
        **{
            (state, direction): _TALK
            for state in (State.SYNCING, State.LIVE, State.DRAINING)
            for direction in Direction
        },
    }
)
"""(our state, which way the frame goes) → what the peer may send. After its own `Bye` a peer
sends nothing more but `LAST_WORDS`."""

LAST_WORDS: Final = frozenset({MessageType.ACK, MessageType.PING, MessageType.PONG})
SENDABLE: Final = frozenset({State.SYNCING, State.LIVE})
"""Where our own messages may be sent."""


def step(state: State, by: Step) -> State:
    """The state that follows. Raises `LocalFaultError` where the table has nothing."""
    try:
        return TRANSITIONS[state, by]
    except KeyError:
        raise LocalFaultError(f"a session that is {state} does not {by}") from None
