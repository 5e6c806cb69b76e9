"""Timelines of states over a period, and the time in each state. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from control.model.compliance import StateProof
from control.model.history import Aspect, StateChange
from protocols.instant import SECOND, rfc3339

Intervals: TypeAlias = list[tuple[int, int]]
"""Spans of time, in order and apart; the end is not in them."""


class TimelineInterval(Struct, frozen=True):
    """The state from `since` to `until`, both within the period."""

    since: int
    until: int
    change: StateChange

    @property
    def value(self) -> str:
        """The state."""
        return self.change.value

    @property
    def detail(self) -> dict[str, Any]:
        """Details of the state."""
        return self.change.detail

    @property
    def length(self) -> int:
        """In nanoseconds."""
        return self.until - self.since


class Timeline(Struct, frozen=True):
    """One subject's timeline. `known_from`: before it there was a state that nobody recorded."""

    subject: str
    since: int
    intervals: tuple[TimelineInterval, ...]
    known_from: int

    @property
    def final_value(self) -> str:
        """The last state; empty for none."""
        return self.intervals[-1].value if self.intervals else ""

    def value_at(self, instant: int) -> str:
        """The state at that time; empty for none."""
        return next((s.value for s in self.intervals if s.since <= instant < s.until), "")

    def intervals_of(self, wanted: Callable[[str], bool]) -> Intervals:
        """The intervals whose state is wanted."""
        return union_of((s.since, s.until) for s in self.intervals if wanted(s.value))

    def intervals_equal(self, value: str) -> Intervals:
        """The intervals with this state."""
        return self.intervals_of(lambda other: other == value)


def build_timelines(
    found: Mapping[str, Sequence[StateChange]], since: int, until: int
) -> list[Timeline]:
    """The timeline of each subject (subject → its changes in order), by name."""
    return [build_timeline(subject, found[subject], since, until) for subject in sorted(found)]


def build_timeline(
    subject: str, changes: Sequence[StateChange], since: int, until: int
) -> Timeline:
    """The timeline of one subject with at least one change before `until`."""
    ends = [turn.at for turn in changes[1:]] + [until]
    stretches = tuple(
        TimelineInterval(max(turn.at, since), min(end, until), turn)
        for turn, end in zip(changes, ends, strict=True)
        if end > since and turn.at < until
    )
    first = changes[0]
    known = first.at if first.before and first.at > since else since
    return Timeline(subject, since, stretches, known)


def union_of(spans: Iterable[tuple[int, int]]) -> Intervals:
    """The union of intervals in any order."""
    found: Intervals = []
    for since, until in sorted(spans):
        if until <= since:
            continue
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def intersection_of(these: Intervals, those: Intervals) -> Intervals:
    """The intersection of both."""
    return union_of(
        (max(a, c), min(b, d)) for a, b in these for c, d in those if max(a, c) < min(b, d)
    )


def difference_of(these: Intervals, those: Intervals) -> Intervals:
    """The intervals in `these` alone."""
    found: Intervals = []
    for begin, end in these:
        at = begin
        for since, until in those:
            if until <= at or since >= end:
                continue
            if since > at:
                found.append((at, since))
            at = max(at, until)
        if at < end:
            found.append((at, end))
    return found


def total_length(times: Intervals) -> int:
    """In nanoseconds."""
    return sum(until - since for since, until in times)


def longest_interval(times: Intervals) -> int:
    """The longest interval, in nanoseconds."""
    return max((until - since for since, until in times), default=0)


def state_proof(aspect: Aspect, stretch: TimelineInterval) -> StateProof:
    """The proof that the state was so."""
    return StateProof(
        subject=stretch.change.subject,
        name=str(aspect),
        value=(stretch.value or "none") + ", due" * bool(stretch.detail.get("due")),
        since=stretch.since,
        until=stretch.until,
    )


def unknown_periods(lines: Iterable[Timeline]) -> list[str]:
    """Subjects whose history begins within the period, and when."""
    return [
        f"{line.subject or 'the organization'}: known from {_format_instant(line.known_from)} on"
        for line in lines
        if line.known_from > line.since
    ]


def _format_instant(instant: int) -> str:
    return rfc3339(instant - instant % SECOND)
