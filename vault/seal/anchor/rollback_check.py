"""Opening a vault: look at all three places before anything is changed, and stay shut if need be.

Blocks. All authority rows are summed up with it: about 1.5 s for a million of them.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from protocols.instant import parse_rfc3339
from vault.audit.recovery import RecoveredLog
from vault.audit.retention import RetentionNotice
from vault.errors import TamperedError, UnavailableError
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import Acceptance
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import COMMIT_STAMP_ROW, StampBase, stamp_base
from vault.seal.anchor.findings import (
    Finding,
    ObservedState,
    find_rollbacks,
    highest_known_commit,
    highest_known_epoch,
)
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.row_totals import (
    RowTotals,
    count_macs,
    find_damaged_tables,
    require_searched_rows,
    sum_rows,
)
from vault.seal.anchor.state import Anchor, CommitStamp, decode_state
from vault.store.interface import StoreBackend, StoreSession
from vault.store.row_guard import RowGuard
from vault.store.row_index import RowIndexBuilder
from vault.store.tables import SYSTEM

ADVICE: Final = (
    "Nothing was opened. Put back the latest copies, or, if you did this yourself and it is meant, "
    "run `freehold operator accept-rollback` with the agent's --config and open the vault again"
)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where the vault goes on from. `accepted` is what was wrong, and `why` an operator knew it."""

    epoch: int  # that the keyring has, or is to be raised to
    base: StampBase
    stamp_row: bytes  # the stamp's row, empty when it is to be replaced whatever it says
    checkpoint: str
    anchored: bool  # there is an anchor
    sealed_at: int = 0  # when a person ordered the seal that is still in force; 0: nobody did
    time: int = 0  # Unix ns, of the last commit as the agent had it; see `SlewedClock.resume`
    slewed: int = 0  # of the `SlewedClock`; 0: it begins with the machine's
    notice: RetentionNotice | None = None
    adopts_system_rows: bool = (
        False  # the stamp is of an older program: the first commit writes one of ours
    )
    accepted_findings: tuple[Finding, ...] = ()
    acceptance_reason: str = ""
    rows: RowIndexBuilder = field(default_factory=RowIndexBuilder)
    """The authority rows that were summed."""


@dataclass(frozen=True, slots=True)
class VaultFiles:
    """What an opening finds: the database, the anchor, the log's end, and the keyring's epoch.

    `guard` knows the rows that this vault wrote.
    """

    backend: StoreBackend
    guard: RowGuard
    anchor: AnchorFile
    recovered_log: RecoveredLog
    epoch: int


def check_rollback(files: VaultFiles, keys: AnchorKeys, now: int) -> ResumePoint:
    """Where to go on from, at `now` (Unix ns).

    Raises `TamperedError` with the code of the first finding unless an operator has accepted,
    `UnavailableError` (`anchor_unavailable`) and what the backend raises.
    """
    try:
        seen, written, totals, rows = _observe(files, keys)
        findings = find_rollbacks(seen)
        accepted = acceptance.read_acceptance(files.anchor.path, now) if findings else None
    except OSError as error:
        raise anchor_unavailable_error(error) from error
    if findings and accepted is None:
        what = "; ".join(finding.what for finding in findings)
        raise TamperedError(findings[0].code, f"{what}. {ADVICE}")
    if accepted is not None:
        return replace(
            _resume_after_acceptance(seen, totals, files.recovered_log, findings, accepted),
            rows=rows,
        )
    adopts = seen.stamp is None or not seen.stamp.covers_keys
    return ResumePoint(
        epoch=files.epoch,
        base=StampBase(
            seen.stamp.commits if seen.stamp else 0, totals, seen.stamp.feed if seen.stamp else b""
        ),
        stamp_row=b"" if adopts else written,
        checkpoint=_latest_checkpoint(seen, files.recovered_log),
        anchored=seen.anchor is not None,
        sealed_at=_sealed_at(seen),
        adopts_system_rows=adopts,
        rows=rows,
        **_times(seen, files.recovered_log),
    )


def anchor_unavailable_error(error: OSError) -> UnavailableError:
    """The error for an anchor that cannot be read or written."""
    return UnavailableError(
        "anchor_unavailable",
        f"the anchor cannot be used ({error.filename}: {error.strerror}); see `anchor.file`",
    )


def _observe(
    there: VaultFiles, keys: AnchorKeys
) -> tuple[ObservedState, bytes, RowTotals, RowIndexBuilder]:
    rows = RowIndexBuilder()
    stamp, stamp_fault, changed = None, "", list[str]()
    with there.backend.read() as session:
        session.inspect()  # of the same view as the totals
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
        totals = sum_rows(session, keys, rows)
        require_searched_rows(session, there.guard, rows)
        if row is not None:
            try:
                stamp = decode_state(row.value, CommitStamp, keys)
                changed = _changed(session, totals, stamp, keys, there.guard)
            except ValueError as error:
                stamp_fault = str(error)
    anchored, anchor_fault = _read(there.anchor, keys)
    seen = ObservedState(
        epoch=there.epoch,
        log_size=there.recovered_log.position.chain.size,
        log_commits=there.recovered_log.commits,
        stamp=stamp,
        stamp_fault=stamp_fault,
        changed=tuple(changed),
        anchor=anchored,
        anchor_fault=anchor_fault,
    )
    return seen, b"" if row is None else row.value, totals, rows


def _changed(
    session: StoreSession, totals: RowTotals, stamp: CommitStamp, keys: AnchorKeys, guard: RowGuard
) -> list[str]:
    """The tables that are not as the stamp says, by name. Raises `ValueError`.

    A stamp of an older program does not cover the rows' keys: then each row is read and checked.
    """
    known = stamp_base(stamp, keys).totals
    if stamp.covers_keys:
        return totals.differing_tables(known)
    old = count_macs(session, keys)
    changed = (old if stamp.covers_system else old.without(SYSTEM)).differing_tables(known)
    return sorted({*changed, *find_damaged_tables(session, guard)})


def _read(anchor: AnchorFile, keys: AnchorKeys) -> tuple[Anchor | None, str]:
    try:
        return anchor.read(keys), ""
    except ValueError as error:
        return None, f"{anchor.path}: {error}"


def _resume_after_acceptance(
    seen: ObservedState,
    totals: RowTotals,
    found: RecoveredLog,
    findings: list[Finding],
    accepted: Acceptance,
) -> ResumePoint:
    """Above all that is known of, so that what was set back stays recognisable as old."""
    return ResumePoint(
        epoch=highest_known_epoch(seen) + 1,
        base=StampBase(highest_known_commit(seen), totals),
        stamp_row=b"",
        checkpoint=found.stored.note if found.stored else "",
        anchored=seen.anchor is not None,
        sealed_at=_sealed_at(seen),
        accepted_findings=tuple(findings),
        acceptance_reason=accepted.reason,
        **_times(seen, found),
    )


def _sealed_at(seen: ObservedState) -> int:
    """When the seal was ordered that is in force: either place suffices, as each may be older."""
    states = (state for state in (seen.stamp, seen.anchor) if state is not None)
    return max((state.sealed_at or 0 for state in states), default=0)


def _times(seen: ObservedState, found: RecoveredLog) -> dict[str, Any]:
    """What is known of the time: by the stamp, or by the log's head where that says nothing of it.

    Both are authentic. The head is of the last batch, so at most a minute behind.
    """
    if seen.stamp is not None and seen.stamp.covers_system:
        return {"time": seen.stamp.time, "slewed": seen.stamp.slewed, "notice": seen.stamp.notice}
    if found.stored is None or not found.stored.head.size:
        return {}
    last = parse_rfc3339(found.stored.head.time, "time")
    return {"time": last, "slewed": last}


def _latest_checkpoint(seen: ObservedState, found: RecoveredLog) -> str:
    """The checkpoint over the most records: a power cut may have set the head itself back."""
    sizes = {"": -1}
    for state in (seen.stamp, seen.anchor):
        if state is not None and state.head is not None:
            sizes[state.checkpoint] = state.head.size
    if found.stored is not None:
        sizes[found.stored.note] = found.stored.head.size
    return max(sizes, key=lambda note: sizes[note])
