"""The bytes of answers that wait for their readers, of all connections of a server.

An answer that the kernel takes at once is never in here. When the budget is nearly full,
those readers are cut off that have been behind for long; when it is exceeded, the furthest behind.
"""

from collections.abc import Callable
from typing import Final

from protocols.http.limits import KIB, Limits
from protocols.http.pulse import NEVER, Pulse

EACH: Final = 16 * KIB
"""What a wait costs beside the answer: a task, its frames and the request. Measured with handlers
of three frames: 8 to 10 KiB a stream."""
DECENT: Final = 64 * KIB
"""Bytes a second. Whoever reads like this falls no further behind."""
LEAD: Final = 24.0
"""Seconds that one can be ahead. The kernel takes nothing until a third of its buffer is free, and
then all of that at once: up to 13 s of a steady 200 kB/s, in which no reader may fall behind those
that came meanwhile. But who took much and then stops is soon as far back as everybody."""
LATE: Final = 15.0
"""Seconds behind at which a reader is cut off for others: above the same 13, of which nobody can
tell whether a reader is slow or stands still."""
SHARE: Final = 8
"""It is full with one part in so many left. As much beyond the limit nobody is cut off who is not
late: many who ask at once are not yet behind each other."""


class Unread:
    """One answer, or what a connection sends, whose reader is waited for until `end`."""

    __slots__ = ("_answers", "_pulse", "charged", "cut", "due")

    def __init__(self, answers: "Answers", cut: Callable[[], None], pulse: Pulse) -> None:
        self._answers = answers
        self._pulse = pulse
        self.cut = cut
        self.charged = 0
        self.due = pulse.now  # when a decent reader would have been where this one is

    def again(self, size: int) -> None:
        """The same reader is waited for, anew or still: what it is ahead it stays."""
        self._answers.enter(self)
        self.hold(size)

    def hold(self, size: int) -> None:
        """So many bytes are in memory because of it. May call `cut`, at once and at most once."""
        self._answers.charge(self, size + EACH)

    def took(self, size: int) -> None:
        """The reader took so many, waited for or not. They stay charged until all are gone."""
        self.due = min(self.due + size / DECENT, self._pulse.now + LEAD)

    def end(self) -> None:
        """It waits no more; may be repeated."""
        self._answers.release(self)


class Answers:
    """How much is held. `cut` counts the readers that were cut off to make room."""

    __slots__ = ("_limit", "_part", "_pulse", "_waiting", "cut", "held")

    def __init__(self, limits: Limits, pulse: Pulse) -> None:
        self._limit = limits.answers_bytes
        self._part = self._limit // SHARE
        self._pulse = pulse
        self._waiting: dict[Unread, None] = {}  # in the order in which they began
        self.cut = 0
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether those who are late have to make room."""
        return self.held > self._limit - self._part

    def tick(self) -> None:
        """If it is full, cut off who is late, until a quarter is free."""
        if self.full:
            self._make_room(self._limit - 2 * self._part, self._pulse.now - LATE)

    def begin(self, size: int, cut: Callable[[], None]) -> Unread:
        """An answer of `size` bytes waits for its reader; `cut` is to make it end soon."""
        unread = Unread(self, cut, self._pulse)
        unread.again(size)
        return unread

    def enter(self, unread: Unread) -> None:
        """It is one of those that wait; the time in which it did not is not held against it."""
        if unread not in self._waiting:
            unread.due = max(unread.due, self._pulse.now)
            self._waiting[unread] = None

    def charge(self, unread: Unread, size: int) -> None:
        """It costs `size` from now on, whatever that was before."""
        if unread not in self._waiting:
            return
        more = size - unread.charged
        unread.charged = size
        self.held += more
        if more <= 0 or self.held <= self._limit:
            return
        if size > self._limit - self._part:
            self._cut(unread)  # one that would take nearly all goes by itself
        elif self.held > self._limit + self._part:
            self._make_room(self._limit, NEVER)

    def release(self, unread: Unread) -> None:
        """It costs nothing any more."""
        if unread in self._waiting:
            del self._waiting[unread]
            self.held -= unread.charged
            unread.charged = 0

    def _make_room(self, enough: int, before: float) -> None:
        """Cut off who was due `before` that, the furthest behind first, until `enough` is held."""
        for unread in sorted(self._waiting, key=lambda unread: unread.due):
            if self.held <= enough or unread.due >= before:
                break
            self._cut(unread)

    def _cut(self, unread: Unread) -> None:
        self.release(unread)
        self.cut += 1
        unread.cut()
