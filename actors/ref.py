"""Ref: the only way to an actor. It stays valid across restarts."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import trio

from actors.mailbox import Mailbox
from actors.reply import Envelope, Reply

M = TypeVar("M")


class Ref(Generic[M]):
    """A sender's end of a mailbox. To be used within the Trio run that the actor lives in."""

    __slots__ = ("_mailbox",)

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    @property
    def name(self) -> str:
        """The actor's path in its tree: `supervisor/child`."""
        return self._mailbox.owner

    async def call(self, message: M, deadline: float) -> Any:
        """The actor's reply, at most `deadline` seconds from now (finite, on Trio's clock).

        Raises the exception the actor answered or crashed with, of its own type; `CallTimeout`;
        `ActorStopped` at once when the actor is stopped, also while the message is still queued;
        `MailboxFull`. A cancelled or timed-out call takes its message back unless the actor has
        begun it: then the effect may still happen. While a crashed actor is being restarted, calls
        queue for the next incarnation and their deadlines run.
        """
        mailbox = self._mailbox
        reply = Reply(message, mailbox)
        mailbox.post(reply, may_wait=True)
        try:
            return await reply.wait(deadline)
        finally:
            del reply  # it holds the exception that holds this frame

    def call_nowait(self, message: M) -> Reply:
        """Queue the message now; `await reply.wait(deadline)` later. Keeps the order of calls.

        Raises `ActorStopped`, or `MailboxFull` when there is no room, also if senders may wait.
        A reply nobody waits for is dropped; its message is served all the same.
        """
        reply = Reply(message, self._mailbox)
        self._mailbox.post(reply, may_wait=False)
        return reply

    async def cast(self, message: M) -> None:
        """Queue the message and return; with `Overflow.WAIT`, once there is room.

        Raises `ActorStopped` and `MailboxFull`. If it is cancelled, the message was not queued.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        letter = Envelope(message)
        if self._mailbox.post(letter, may_wait=True):
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self._mailbox.wait_admitted(letter)

    def cast_nowait(self, message: M) -> None:
        """Queue the message; raises `ActorStopped` and `MailboxFull`."""
        self._mailbox.post(Envelope(message), may_wait=False)
