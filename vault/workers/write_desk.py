"""Where the leader carries out a worker's writes: step 4 of `secret.write`, for many at a time."""

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import trio

from protocols.errors import locate
from vault.errors import UnavailableError
from vault.mutations import Decided, End, Mutations
from vault.store.store import COMMIT_TIMEOUT
from vault.workers.carried import carried_of
from vault.workers.pipe import Pipe
from vault.workers.wire import Ends, Frame, LaneClosed

log: Final = logging.getLogger("freehold.workers")

_SHUT: Final = UnavailableError("sealed", "Vault is sealed")
_LOST: Final = UnavailableError(
    "write_failed",
    "the write failed, the agent's log has why; look before you repeat it",
    outcome="unknown",
)


class WriteDesk:
    """Takes frames of decided writes, has them carried out, answers: in a thread of its own.

    No turn of the event loop lies between a frame and its transaction, nor behind it. What has to
    be waited for on the loop (`Mutations.carry_out_here`) is.
    """

    def __init__(self, pipe: Pipe[Frame], mutations: Callable[[], Mutations | None]) -> None:
        self._pipe = pipe
        self._mutations = mutations

    async def run(self) -> None:
        """Until the lane closes; then it raises `LaneClosed`. What was begun is ended first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._shut_at_end)
            limiter = trio.CapacityLimiter(1)
            await trio.to_thread.run_sync(self._serve, limiter=limiter, thread_name="writes")
            await trio.lowlevel.checkpoint_if_cancelled()
            raise LaneClosed

    async def _shut_at_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._pipe.shut()

    def _serve(self) -> None:
        while self._has_answered():
            pass

    def _has_answered(self) -> bool:
        frames = self._pipe.receive()
        decided = [one for frame in frames for one in frame.decided]
        if decided:
            ends = iter(self._ends(decided, frames[0].at + COMMIT_TIMEOUT))
            for frame in frames:
                self._answer(frame, list(islice(ends, len(frame.decided))))
        return bool(frames)

    def _ends(self, decided: list[Decided], until: float) -> Sequence[End]:
        try:
            mutations = self._mutations()
            if mutations is None:
                return [_SHUT] * len(decided)
            ends = mutations.carry_out_here(decided, until=until)
            if ends is not None:
                return ends
            return trio.from_thread.run(mutations.carry_out, decided, until)
        except Exception as error:  # noqa: BLE001  # as in a server: no other frame's business
            return _lost(decided, error)

    def _answer(self, frame: Frame, ends: Sequence[End]) -> None:
        try:
            self._pipe.send(Ends(frame.number, [carried_of(end) for end in ends]))
        except Exception as error:  # noqa: BLE001  # the same
            lost = _lost(frame.decided, error)
            self._pipe.send(Ends(frame.number, [carried_of(end) for end in lost]))


def _lost(decided: Sequence[Decided], error: Exception) -> list[End]:
    log.error("a frame of writes failed with %s", locate(error))  # its text could hold a secret
    return [_LOST] * len(decided)
