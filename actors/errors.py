"""What can go wrong between actors. No text here repeats a payload: it could be a secret."""

# ruff: noqa: N818  # named after what happened, like Trio's `Cancelled` and `WouldBlock`

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class ActorError(Exception):
    """Base of every error this package raises by itself."""


class CallTimeout(ActorError):
    """The deadline of a call passed before the reply came."""


class CallWithdrawn(ActorError):
    """The reply was waited for again after a cancelled wait had taken the message back."""


class ActorStopped(ActorError):
    """The target is stopped for good, or was cut off with the message in hand."""


class MailboxFull(ActorError):
    """The mailbox was at its bound: the message was refused, or dropped for a newer one."""


class LimiterFull(ActorError):
    """Too many requests wait for a slot. `own`: of this caller; else of all together."""

    def __init__(self, message: str, *, own: bool) -> None:
        super().__init__(message)
        self.own = own


class ActorExited(ActorError):
    """A permanent actor ended of its own will, which counts as a failure of it."""


class StartTimeout(ActorError):
    """`on_start` did not finish in time."""


class StopTimeout(ActorError):
    """An orderly stop outlasted its grace: a message in hand was cut off, or `on_stop` was."""


class BatchMismatch(ActorError):
    """`receive_batch` returned another number of results than it was given messages."""


class CircuitOpen(ActorError):
    """The circuit breaker refuses the call: the callee has failed too often, too recently."""


class StopFailed(ExceptionGroup[Exception]):
    """An actor did not stop as it should. Holds why, and the crash that led to it, if one did."""

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]  # typeshed's overload also admits BaseException
        """Keep the type when `except*` or `split` takes the group apart."""
        return type(self)(self.message, excs)


class SupervisorFailed(ExceptionGroup[Exception]):
    """A supervisor gave up, or could not stop cleanly. Holds the children's own exceptions."""

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]  # typeshed's overload also admits BaseException
        """Keep the type when `except*` or `split` takes the group apart."""
        return type(self)(self.message, excs)
