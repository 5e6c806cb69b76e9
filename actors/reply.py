"""What a mailbox holds: the message of a `cast`, or of a `call` with a slot for its reply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from actors.errors import CallTimeout, CallWithdrawn

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Failure:
    """A result that makes the call raise `error`, without crashing the actor that returned it."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Stop:
    """A result after which the actor ends of its own will; `reply` goes to the caller."""

    reply: object = None


def copy_error(error: Exception) -> Exception:
    """A new exception of the same type, arguments and attributes, caused by `error`.

    Every caller of a crashed batch raises its own copy: one object raised in many tasks would
    gather their tracebacks and contexts, and show one caller's trouble to another. The constructor
    is not run again, since it may take other arguments than it keeps.
    """
    kind = type(error)
    try:
        copy = kind.__new__(kind, *error.args)
    except TypeError:  # a `__new__` of its own kind: better shared than lost
        return error
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error
    return copy


class MailboxPort(Protocol):
    """The part of a mailbox that a reply needs."""

    owner: str

    def withdraw(self, letter: Envelope) -> bool:
        """Take the letter back if it is not yet begun; say whether it was."""
        ...

    def watch_deadline(self, expires: float) -> None:
        """Look for expired letters at this Trio time."""
        ...


class Envelope:
    """One message on its way. A task waits on it only while the mailbox is too full to admit it."""

    __slots__ = ("error", "expires", "message", "task")

    def __init__(self, message: Any) -> None:
        self.message = message
        self.expires = NEVER
        self.task: Task | None = None
        self.error: Exception | None = None

    def on_admitted(self) -> None:
        """The mailbox has room for it now."""
        self._wake()

    def resolve(self, result: object) -> None:
        """It was served; nobody waits for the message of a cast."""

    def fail(self, error: Exception) -> None:
        """It will not be served, or was not served to the end."""
        self.error = error
        self._wake()

    def _wake(self) -> None:
        if self.task is not None:
            task, self.task = self.task, None
            reschedule(task)


class Reply(Envelope):
    """The reply to a call: resolved once, waited for by one task at a time."""

    __slots__ = ("_done", "_post", "_value")

    def __init__(self, message: Any, post: MailboxPort) -> None:
        super().__init__(message)
        self._post = post
        self._done = False
        self._value: object = None

    async def wait(self, deadline: float) -> Any:
        """The actor's reply, at most `deadline` seconds from now.

        Raises the target's own exception with its type, `CallTimeout`, `ActorStopped`, or
        `MailboxFull` when the message was dropped for a newer one. A wait that times out or is
        cancelled takes the message back unless the actor has begun it.
        """
        if self._done:
            await trio.lowlevel.checkpoint()
        else:
            await self._wait_resolved(deadline)
        error = self.error
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del self, error  # else error → traceback → this frame → error is a cycle for the GC

    def on_admitted(self) -> None:
        """A caller waits for the reply, not for room."""

    def resolve(self, result: object) -> None:
        """Hand the result to whoever waits; ignored when nobody can be waiting any more."""
        if self._done:
            return
        if type(result) is Failure:
            self.fail(result.error)
            return
        self._done = True
        self._value = result.reply if type(result) is Stop else result
        self._wake()

    def fail(self, error: Exception) -> None:
        """Hand an exception to whoever waits; the first outcome stands."""
        if not self._done:
            self._done = True
            super().fail(error)

    async def _wait_resolved(self, deadline: float) -> None:
        if self.task is not None:
            raise trio.BusyResourceError("another task already waits for this reply")
        if not 0 < deadline < NEVER:
            self._post.withdraw(self)
            if deadline <= 0:
                raise CallTimeout(f"{self._post.owner}: the deadline had passed")
            raise ValueError("a call needs a finite deadline")
        self.expires = trio.current_time() + deadline
        self._post.watch_deadline(self.expires)
        self.task = current_task()
        await wait_task_rescheduled(self._abort)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self.task = None
        self.expires = NEVER
        if self._post.withdraw(self):
            self.fail(CallWithdrawn(f"{self._post.owner}: the call was cancelled"))
        return Abort.SUCCEEDED
