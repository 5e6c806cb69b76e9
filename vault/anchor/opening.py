"""Opening a vault: look at all three places before anything is changed, and stay shut if need be.

Blocks. All authority rows are summed up with it: about 1.5 s for a million of them.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from vault.anchor import acceptance
from vault.anchor.acceptance import Acceptance
from vault.anchor.file import AnchorFile
from vault.anchor.judge import Finding, Seen, commits_known, epoch_known, judge
from vault.anchor.keys import AnchorKeys
from vault.anchor.mark import MARK_ROW, Base, base_of
from vault.anchor.rows import Totals, count, count_macs, forged
from vault.anchor.state import Anchor, Mark, decode
from vault.audit.recovery import RecoveredLog
from vault.audit.retention import RetentionNotice
from vault.errors import TamperedError, UnavailableError
from vault.model.instant import parse_rfc3339
from vault.store.guard import Guard
from vault.store.interface import Backend, Session
from vault.store.row_index import Collected
from vault.store.tables import SYSTEM

ADVICE: Final = (
    "Nothing was opened. Put back the latest copies, or, if you did this yourself and it is meant, "
    "run `freehold operator accept-rollback` with the agent's --config and open the vault again"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the vault goes on from. `accepted` is what was wrong, and `why` an operator knew it."""

    epoch: int  # that the keyring has, or is to be raised to
    base: Base
    written: bytes  # the mark's row, empty when it is to be replaced whatever it says
    checkpoint: str
    anchored: bool  # there is an anchor
    sealed_at: int = 0  # when a person ordered the seal that is still in force; 0: nobody did
    time: int = 0  # Unix ns, of the last commit as the agent had it; see `SlewedClock.resume`
    slewed: int = 0  # of the `SlewedClock`; 0: it begins with the machine's
    notice: RetentionNotice | None = None
    adopts: bool = False  # the mark is of an older program: the first commit writes one of ours
    accepted: tuple[Finding, ...] = ()
    why: str = ""
    rows: Collected = field(default_factory=Collected)
    """The authority rows that were summed."""


@dataclass(frozen=True, slots=True)
class There:
    """What an opening finds: the database, the anchor, the log's end, and the keyring's epoch.

    `guard` knows the rows that this vault wrote.
    """

    backend: Backend
    guard: Guard
    anchor: AnchorFile
    found: RecoveredLog
    epoch: int


def stand(there: There, keys: AnchorKeys, now: int) -> Standing:
    """Where to go on from, at `now` (Unix ns).

    Raises `TamperedError` with the code of the first finding unless an operator has accepted,
    `UnavailableError` (`anchor_unavailable`) and what the backend raises.
    """
    try:
        seen, written, totals, rows = _look(there, keys)
        findings = judge(seen)
        accepted = acceptance.read(there.anchor.path, now) if findings else None
    except OSError as error:
        raise unavailable(error) from error
    if findings and accepted is None:
        what = "; ".join(finding.what for finding in findings)
        raise TamperedError(findings[0].code, f"{what}. {ADVICE}")
    if accepted is not None:
        return replace(_after(seen, totals, there.found, findings, accepted), rows=rows)
    adopts = seen.mark is None or not seen.mark.covers_keys
    return Standing(
        epoch=there.epoch,
        base=Base(seen.mark.commits if seen.mark else 0, totals),
        written=b"" if adopts else written,
        checkpoint=_latest(seen, there.found),
        anchored=seen.anchor is not None,
        sealed_at=_sealed_at(seen),
        adopts=adopts,
        rows=rows,
        **_times(seen, there.found),
    )


def unavailable(error: OSError) -> UnavailableError:
    """The error for an anchor that cannot be read or written."""
    return UnavailableError(
        "anchor_unavailable",
        f"the anchor cannot be used ({error.filename}: {error.strerror}); see `anchor.file`",
    )


def _look(there: There, keys: AnchorKeys) -> tuple[Seen, bytes, Totals, Collected]:
    rows = Collected()
    mark, mark_fault, changed = None, "", list[str]()
    with there.backend.read() as session:
        session.inspect()  # of the same view as the totals
        row = session.get(SYSTEM, (MARK_ROW,))
        totals = count(session, keys, rows)
        if row is not None:
            try:
                mark = decode(row.value, Mark, keys)
                changed = _changed(session, totals, mark, keys, there.guard)
            except ValueError as error:
                mark_fault = str(error)
    anchored, anchor_fault = _read(there.anchor, keys)
    seen = Seen(
        epoch=there.epoch,
        log_size=there.found.position.chain.size,
        log_commits=there.found.commits,
        mark=mark,
        mark_fault=mark_fault,
        changed=tuple(changed),
        anchor=anchored,
        anchor_fault=anchor_fault,
    )
    return seen, b"" if row is None else row.value, totals, rows


def _changed(
    session: Session, totals: Totals, mark: Mark, keys: AnchorKeys, guard: Guard
) -> list[str]:
    """The tables that are not as the mark says, by name. Raises `ValueError`.

    A mark of an older program says nothing of the rows' keys, so then each row is read and checked.
    """
    known = base_of(mark, keys).totals
    if mark.covers_keys:
        return totals.differing(known)
    old = count_macs(session, keys)
    changed = (old if mark.covers_system else old.without(SYSTEM)).differing(known)
    return sorted({*changed, *forged(session, guard)})


def _read(anchor: AnchorFile, keys: AnchorKeys) -> tuple[Anchor | None, str]:
    try:
        return anchor.read(keys), ""
    except ValueError as error:
        return None, f"{anchor.path}: {error}"


def _after(
    seen: Seen, totals: Totals, found: RecoveredLog, findings: list[Finding], accepted: Acceptance
) -> Standing:
    """Above all that is known of, so that what was set back stays recognisable as old."""
    return Standing(
        epoch=epoch_known(seen) + 1,
        base=Base(commits_known(seen), totals),
        written=b"",
        checkpoint=found.stored.note if found.stored else "",
        anchored=seen.anchor is not None,
        sealed_at=_sealed_at(seen),
        accepted=tuple(findings),
        why=accepted.reason,
        **_times(seen, found),
    )


def _sealed_at(seen: Seen) -> int:
    """When the seal was ordered that is in force: either place suffices, as each may be older."""
    states = (state for state in (seen.mark, seen.anchor) if state is not None)
    return max((state.sealed_at or 0 for state in states), default=0)


def _times(seen: Seen, found: RecoveredLog) -> dict[str, Any]:
    """What is known of the time: by the mark, or by the log's head where that says nothing of it.

    Both are authentic. The head is of the last batch, so at most a minute behind.
    """
    if seen.mark is not None and seen.mark.covers_system:
        return {"time": seen.mark.time, "slewed": seen.mark.slewed, "notice": seen.mark.notice}
    if found.stored is None or not found.stored.head.size:
        return {}
    last = parse_rfc3339(found.stored.head.time, "time")
    return {"time": last, "slewed": last}


def _latest(seen: Seen, found: RecoveredLog) -> str:
    """The checkpoint over the most records: a power cut may have set the head itself back."""
    sizes = {"": -1}
    for state in (seen.mark, seen.anchor):
        if state is not None and state.head is not None:
            sizes[state.checkpoint] = state.head.size
    if found.stored is not None:
        sizes[found.stored.note] = found.stored.head.size
    return max(sizes, key=lambda note: sizes[note])
