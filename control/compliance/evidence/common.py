"""What all collectors share: the period, the judgement of a share, and records of the trail."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from control.compliance import proofs
from control.compliance.evidence.timeline import Timeline, timelines
from control.model.compliance import Evidence, Proof, Result
from control.model.history import Aspect
from control.store import history, records
from control.store.records import Wanted
from control.store.rows import Tx

MOST_NAMES: Final = 50  # of what is wrong


class Span(Struct, frozen=True):
    """Whose evidence, of which time; `until` is not in it. `now`: when it was looked at."""

    org: str
    since: int
    until: int
    now: int

    @property
    def end(self) -> int:
        """Of what can be known of it, this very instant included."""
        return min(self.until, self.now + 1)


def history_of(tx: Tx, span: Span, aspect: Aspect) -> list[Timeline]:
    """How every subject stood over the period, by name."""
    found = history.between(tx, span.org, aspect, span.since, span.end)
    return timelines(found, span.since, span.end)


def judged(fine: int, total: int, unknown: Sequence[str]) -> Result:
    """As `share`; what is not known for all of the period is not met."""
    result = share(fine, total)
    return Result.PARTLY if result is Result.MET and unknown else result


def lacking_of(unknown: Sequence[str]) -> str:
    """In words, what of the period nobody knows."""
    if not unknown:
        return ""
    more = len(unknown) - MOST_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return f"Not known for all of the period: {'; '.join(unknown[:MOST_NAMES])}{rest}."


def share(fine: int, total: int) -> Result:
    """Of all: met; of none: a gap; of nothing at all: not evidenced."""
    if not total:
        return Result.NOT_EVIDENCED
    if fine == total:
        return Result.MET
    return Result.PARTLY if fine else Result.GAP


def evidence(
    id_: str,
    title: str,
    result: Result,
    summary: str,
    *,
    figures: dict[str, int],
    wrong: Sequence[Proof] = (),
    fine: Sequence[Proof] = (),
    total: int | None = None,
    exceptions: Iterable[str] = (),
    lacking: str = "",
) -> Evidence:
    """One piece; of many proofs those of what is wrong are kept first."""
    found = [*wrong, *fine]
    names = sorted(exceptions)
    more = len(names) - MOST_NAMES
    return Evidence(
        id=id_,
        title=title,
        result=result,
        summary=summary,
        figures=figures,
        exceptions=(*names[:MOST_NAMES], *([f"and {more} more"] if more > 0 else [])),
        proofs=tuple(found[: proofs.MOST]),
        total=len(found) if total is None else total,
        lacking=lacking,
    )


def recorded(tx: Tx, span: Span, *operations: str, **wanted: Any) -> tuple[list[Proof], int]:
    """The newest records of the period whose operation begins so, and how many there are."""
    found: list[Proof] = []
    total = 0
    for operation in operations:
        chosen = Wanted(operation=operation, since=span.since, until=span.until, **wanted)
        total += records.count_events(tx, span.org, chosen)
        page = records.newest_events(tx, span.org, before=0, limit=proofs.MOST, wanted=chosen)
        found += [proofs.trail(event) for event in page]
    return found, total


def plural(count: int, one: str, many: str = "") -> str:
    """`1 agent`, `2 agents`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
