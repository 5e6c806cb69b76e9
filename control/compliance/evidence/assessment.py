"""What all collectors share: the period, the assessment of a share, audit records as proofs."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from control.compliance import proofs
from control.compliance.evidence.timeline import Timeline, build_timelines
from control.model.compliance import Evidence, Proof, Result
from control.model.history import Aspect
from control.store import audit_records, history
from control.store.audit_records import EventFilter
from control.store.rows import Tx

MAX_NAMES: Final = 50  # of what is wrong


class Period(Struct, frozen=True):
    """The organization and time of the evidence; `until` is excluded.

    `now`: the time of collection.
    """

    org: str
    since: int
    until: int
    now: int

    @property
    def end(self) -> int:
        """The end of what can be known, this instant included."""
        return min(self.until, self.now + 1)


def read_timelines(tx: Tx, span: Period, aspect: Aspect) -> list[Timeline]:
    """The timeline of every subject over the period, by name."""
    found = history.changes_between(tx, span.org, aspect, span.since, span.end)
    return build_timelines(found, span.since, span.end)


def assess_share(fine: int, total: int, unknown: Sequence[str]) -> Result:
    """As `share_result`; without a history of the whole period it is not met."""
    result = share_result(fine, total)
    return Result.PARTLY if result is Result.MET and unknown else result


def describe_unknown(unknown: Sequence[str]) -> str:
    """Which part of the period has no history, in words."""
    if not unknown:
        return ""
    more = len(unknown) - MAX_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return f"Not known for all of the period: {'; '.join(unknown[:MAX_NAMES])}{rest}."


def share_result(fine: int, total: int) -> Result:
    """All: met; none: a gap; of nothing at all: not evidenced."""
    if not total:
        return Result.NOT_EVIDENCED
    if fine == total:
        return Result.MET
    return Result.PARTLY if fine else Result.GAP


def make_evidence(
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
    """One piece of evidence; of many proofs those of faults are kept first."""
    found = [*wrong, *fine]
    names = sorted(exceptions)
    more = len(names) - MAX_NAMES
    return Evidence(
        id=id_,
        title=title,
        result=result,
        summary=summary,
        figures=figures,
        exceptions=(*names[:MAX_NAMES], *([f"and {more} more"] if more > 0 else [])),
        proofs=tuple(found[: proofs.MAX_PROOFS]),
        total=len(found) if total is None else total,
        lacking=lacking,
    )


def audit_proofs(tx: Tx, span: Period, *operations: str, **wanted: Any) -> tuple[list[Proof], int]:
    """The newest records of the period with this prefix of the operation, and their number."""
    found: list[Proof] = []
    total = 0
    for operation in operations:
        chosen = EventFilter(operation=operation, since=span.since, until=span.until, **wanted)
        total += audit_records.count_events(tx, span.org, chosen)
        page = audit_records.list_newest_events(
            tx, span.org, before=0, limit=proofs.MAX_PROOFS, filter_=chosen
        )
        found += [proofs.audit_proof(event) for event in page]
    return found, total


def plural(count: int, one: str, many: str = "") -> str:
    """`1 agent`, `2 agents`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
