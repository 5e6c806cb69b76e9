"""How something stood over a period: stretches between turns, and the time in them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct

from control.model.compliance import StateProof
from control.model.history import Aspect, Turn
from protocols.instant import SECOND, rfc3339

HOUR: Final = 3600 * SECOND
Times: TypeAlias = list[tuple[int, int]]
"""Spans of time, in order and apart; the end is not in them."""


class Stretch(Struct, frozen=True):
    """So it was from `since` to `until`, both within the period."""

    since: int
    until: int
    turn: Turn

    @property
    def value(self) -> str:
        """What it was."""
        return self.turn.value

    @property
    def detail(self) -> dict[str, Any]:
        """What belongs to it."""
        return self.turn.detail

    @property
    def length(self) -> int:
        """In nanoseconds."""
        return self.until - self.since


class Timeline(Struct, frozen=True):
    """One subject's. `known_from`: before it there was something, and nobody knows what."""

    subject: str
    since: int
    stretches: tuple[Stretch, ...]
    known_from: int

    @property
    def end(self) -> str:
        """What it was last; empty for nothing."""
        return self.stretches[-1].value if self.stretches else ""

    def at(self, instant: int) -> str:
        """What it was then; empty for nothing."""
        return next((s.value for s in self.stretches if s.since <= instant < s.until), "")

    def times(self, wanted: Callable[[str], bool]) -> Times:
        """When it was something that is wanted."""
        return joined((s.since, s.until) for s in self.stretches if wanted(s.value))

    def where(self, value: str) -> Times:
        """When it was this."""
        return self.times(lambda other: other == value)


def timelines(found: Mapping[str, Sequence[Turn]], since: int, until: int) -> list[Timeline]:
    """Of each subject (subject → its turns in order), by name."""
    return [timeline(subject, found[subject], since, until) for subject in sorted(found)]


def timeline(subject: str, turns: Sequence[Turn], since: int, until: int) -> Timeline:
    """Of one subject with at least one turn before `until`."""
    ends = [turn.at for turn in turns[1:]] + [until]
    stretches = tuple(
        Stretch(max(turn.at, since), min(end, until), turn)
        for turn, end in zip(turns, ends, strict=True)
        if end > since and turn.at < until
    )
    first = turns[0]
    known = first.at if first.before and first.at > since else since
    return Timeline(subject, since, stretches, known)


def joined(spans: Iterable[tuple[int, int]]) -> Times:
    """Of spans in any order, what they cover."""
    found: Times = []
    for since, until in sorted(spans):
        if until <= since:
            continue
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def within(these: Times, those: Times) -> Times:
    """What is in both."""
    return joined(
        (max(a, c), min(b, d)) for a, b in these for c, d in those if max(a, c) < min(b, d)
    )


def without(these: Times, those: Times) -> Times:
    """What is in `these` alone."""
    found: Times = []
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


def length(times: Times) -> int:
    """In nanoseconds."""
    return sum(until - since for since, until in times)


def longest(times: Times) -> int:
    """The longest at a stretch, in nanoseconds."""
    return max((until - since for since, until in times), default=0)


def proof(aspect: Aspect, stretch: Stretch) -> StateProof:
    """That it was so."""
    return StateProof(
        subject=stretch.turn.subject,
        name=str(aspect),
        value=(stretch.value or "none") + ", due" * bool(stretch.detail.get("due")),
        since=stretch.since,
        until=stretch.until,
    )


def unknown(lines: Iterable[Timeline]) -> list[str]:
    """Whose history begins within the period, and when."""
    return [
        f"{line.subject or 'the organization'}: known from {_told(line.known_from)} on"
        for line in lines
        if line.known_from > line.since
    ]


def _told(instant: int) -> str:
    return rfc3339(instant - instant % SECOND)
