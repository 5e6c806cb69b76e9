"""Actor and BatchActor: state with one owner, which meets its messages one turn at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

M = TypeVar("M")


class _Lifecycle:
    """`on_start` and `on_stop` pair like `__aenter__` and `__aexit__`."""

    async def on_start(self) -> None:
        """Return when the actor can serve: only then does it count as started.

        Raising is a crash of the actor, and so is taking longer than the child's `start_timeout`.
        `on_stop` is not called after either, so release here what was taken here.
        """

    async def on_stop(self) -> None:
        """Release what `on_start` took; called once for each `on_start` that returned.

        Called on an orderly stop and after a crash alike: after a crash, trust no state. Shielded
        from cancellation and bounded by the child's `stop_grace`; raising is a failure that the
        supervisor counts or, at its own end, raises.
        """


class Actor(_Lifecycle, Generic[M]):
    """One message a turn."""

    async def receive(self, message: M) -> object:
        """Serve one message; what is returned is the reply to a call.

        Return `Failure(error)` to have the call raise `error` and go on, `Stop(reply)` to end.
        Raising fails the message in hand with that exception and crashes the actor: the message is
        not tried again (at most once), what is still queued is served by the next incarnation.
        """
        raise NotImplementedError


class BatchActor(_Lifecycle, Generic[M]):
    """All that is queued in one turn, up to `max_batch`: the shape of a group commit.

    With a `hold` a batch lets those come that are on their way (`Mailbox.receive`), for so many
    seconds at most.
    """

    hold: ClassVar[float] = 0.0
    max_batch: ClassVar[int] = 256  # a batch's worth of fsync is amortised long before this

    async def receive_batch(self, batch: Sequence[M]) -> Sequence[object]:
        """Serve a batch; return one result per message, in the same order.

        Whoever arrives meanwhile joins the next batch. `Failure(error)` among the results makes
        that call raise, `Stop(reply)` ends the actor after this batch. Raising fails every message
        of the batch with that exception, of which none is tried again, and crashes the actor.
        """
        raise NotImplementedError
