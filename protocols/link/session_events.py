"""What a session tells its owner. Frozen, and valid from birth."""

from dataclasses import dataclass
from typing import TypeAlias

from protocols.link.messages import Message
from protocols.link.vocabulary import ByeReason, SkipReason


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Both sides have proven themselves; messages may be sent."""

    session: bytes


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message. Apply it; if `id` is not 0, durably, and then call `Session.applied(id)`."""

    id: int
    message: Message


@dataclass(frozen=True, slots=True)
class MessagesSkipped:
    """`first` to `last` never come. Move the cursor to `last`, then call `Session.applied(last)`.

    `dropped`: metrics, or what newer messages superseded. `acknowledged`: this side had them and
    lost them (a restored backup): somebody must know.
    """

    first: int
    last: int
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class MessagesAcknowledged:
    """The peer has applied all up to `through`: the outbox may forget them."""

    through: int


@dataclass(frozen=True, slots=True)
class SessionCaughtUp:
    """What waited on either side when the session began is through: the session is live."""


@dataclass(frozen=True, slots=True)
class PeerLeaving:
    """The peer has said `Bye`: nothing of ours begins any more, what is under way still ends.

    Come back after a random part of `spread` milliseconds on top of the usual backoff.
    """

    reason: ByeReason
    spread: int


SessionEvent: TypeAlias = (
    SessionOpened
    | MessageReceived
    | MessagesSkipped
    | MessagesAcknowledged
    | SessionCaughtUp
    | PeerLeaving
)
