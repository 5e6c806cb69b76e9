"""The bytes of answers that wait for their readers, of all connections of a server.

An answer that the kernel takes at once is never in here. When the budget is full, those readers are
cut off that are furthest behind: a client that does not read harms no one else.
"""

from collections.abc import Callable
from typing import Final

from protocols.http.limits import KIB, Limits
from protocols.http.pulse import Pulse

EACH: Final = 16 * KIB
"""What a wait costs beside the answer: a task, its frames and the request. Measured with handlers
of three frames: 8 to 10 KiB a stream."""
DECENT: Final = 64 * KIB
"""Bytes a second. Whoever reads like this falls no further behind."""
SHARE: Final = 8
"""One part in so many is made free at once, so that looking who is behind is rare."""


class Unread:
    """One answer, or what a connection sends, whose reader is waited for until `end`."""

    __slots__ = ("_answers", "charged", "cut", "due")

    def __init__(self, answers: "Answers", cut: Callable[[], None], now: float) -> None:
        self._answers = answers
        self.cut = cut
        self.charged = 0
        self.due = now  # when a decent reader would have been where this one is

    def hold(self, size: int) -> None:
        """So many bytes are in memory because of it. May call `cut`, at once and at most once."""
        self._answers.charge(self, size + EACH)

    def took(self, size: int) -> None:
        """The reader took so many. They stay charged: memory is free when all are gone."""
        self.due += size / DECENT

    def end(self) -> None:
        """It waits no more; may be repeated."""
        self._answers.release(self)


class Answers:
    """How much is held. `cut` counts the readers that were cut off to make room."""

    __slots__ = ("_limit", "_pulse", "_waiting", "cut", "held")

    def __init__(self, limits: Limits, pulse: Pulse) -> None:
        self._limit = limits.answers_bytes
        self._pulse = pulse
        self._waiting: dict[Unread, None] = {}  # in the order in which they began
        self.cut = 0
        self.held = 0

    def begin(self, size: int, cut: Callable[[], None]) -> Unread:
        """An answer of `size` bytes waits for its reader; `cut` is to make it end soon."""
        unread = Unread(self, cut, self._pulse.now)
        self._waiting[unread] = None
        unread.hold(size)
        return unread

    def charge(self, unread: Unread, size: int) -> None:
        """It costs `size` from now on, whatever that was before."""
        if unread not in self._waiting:
            return
        more = size - unread.charged
        unread.charged = size
        self.held += more
        if more > 0 and self.held > self._limit:
            self._make_room(unread)

    def release(self, unread: Unread) -> None:
        """It costs nothing any more."""
        if unread in self._waiting:
            del self._waiting[unread]
            self.held -= unread.charged

    def _make_room(self, newest: Unread) -> None:
        """Cut off whoever is furthest behind; one that would take nearly all goes by itself."""
        enough = self._limit - self._limit // SHARE
        if newest.charged > enough:
            self._cut(newest)
            return
        for unread in sorted(self._waiting, key=lambda unread: unread.due):
            if self.held <= enough:
                break
            self._cut(unread)

    def _cut(self, unread: Unread) -> None:
        self.release(unread)
        self.cut += 1
        unread.cut()
