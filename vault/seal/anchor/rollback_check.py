"""Opening a vault: look at all three places before anything is changed, and stay shut if need be.

Blocks. All authority rows are summed up with it, and the indexes of a SQLite file are checked: some
15 s for a million rows.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from protocols.instant import parse_rfc3339
from vault.audit.recovery import RecoveredLog
from vault.errors import TamperedError, UnavailableError
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import Acceptance
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    StampBase,
    read_node_state,
    stamp_base,
)
from vault.seal.anchor.findings import (
    Finding,
    ObservedState,
    find_rollbacks,
    highest_known_commit,
    highest_known_epoch,
)
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.row_totals import RowTotals, require_searched_rows, sum_rows
from vault.seal.anchor.state import NOBODY, Anchor, CommitStamp, NodeState, decode_state
from vault.seal.nodes import NodeIdentity, find_lost_nodes
from vault.store.interface import StoreBackend
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
    stamp_row: bytes  # the stamp's row, empty when it is to be replaced by an acceptance
    checkpoint: str
    anchored: bool  # there is an anchor
    recorded: NodeState = NOBODY  # what the database says of this node
    sealed_at: int = 0  # when a person ordered the seal that is still in force; 0: nobody did
    time: int = 0  # Unix ns, of the last commit as the agent had it; see `SlewedClock.resume`
    slewed: int = 0  # of the `SlewedClock`; 0: it begins with the machine's
    accepted_findings: tuple[Finding, ...] = ()
    acceptance_reason: str = ""
    replaced_row: bytes = b""  # the stamp's row that the acceptance is about; empty: there is none
    break_glass: tuple[int, int] = (0, 0)
    """Openings by break-glass, and when the last was (Unix ns), as the anchor knows them."""
    rows: RowIndexBuilder = field(default_factory=RowIndexBuilder)
    """The authority rows that were summed."""


@dataclass(frozen=True, slots=True)
class VaultFiles:
    """What an opening finds: the database, the anchor, the log's end, and the keyring's epoch.

    `guard` knows the rows that this vault wrote; anchor and log are those of `node`.
    `new_node`: there is neither, and this is the node that is to be.
    """

    backend: StoreBackend
    guard: RowGuard
    anchor: AnchorFile
    recovered_log: RecoveredLog
    epoch: int
    node: str = ""
    new_node: NodeIdentity | None = None


def check_rollback(files: VaultFiles, keys: AnchorKeys, now: int) -> ResumePoint:
    """Where to go on from, at `now` (Unix ns).

    Raises `TamperedError` with the code of the first finding unless an operator has accepted,
    `UnavailableError` (`anchor_unavailable`) and what the backend raises.
    """
    try:
        seen, written, totals, rows = _observe(files, keys, now)
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
            replaced_row=written,
            rows=rows,
        )
    stamp = seen.stamp
    return ResumePoint(
        epoch=files.epoch,
        base=StampBase(stamp.commits, totals, stamp.feed, stamp.node_state)
        if stamp
        else StampBase(0, totals),
        stamp_row=written,
        checkpoint=_latest_checkpoint(seen, files.recovered_log),
        anchored=seen.anchor is not None,
        recorded=seen.recorded,
        sealed_at=_sealed_at(seen),
        break_glass=_break_glass(seen),
        time=stamp.time if stamp else 0,
        slewed=stamp.slewed if stamp else 0,
        rows=rows,
    )


def anchor_unavailable_error(error: OSError) -> UnavailableError:
    """The error for an anchor that cannot be read or written."""
    return UnavailableError(
        "anchor_unavailable",
        f"the anchor cannot be used ({error.filename}: {error.strerror}); see `anchor.file`",
    )


def _observe(
    there: VaultFiles, keys: AnchorKeys, now: int
) -> tuple[ObservedState, bytes, RowTotals, RowIndexBuilder]:
    rows = RowIndexBuilder()
    stamp, stamp_fault, changed = None, "", list[str]()
    recorded, lost = NodeState(there.node), list[str]()
    with there.backend.read() as session:
        session.inspect()  # of the same view as the totals
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
        totals = sum_rows(session, keys, rows)
        require_searched_rows(session, there.guard, rows)
        if row is not None:
            try:
                stamp = decode_state(row.value, CommitStamp, keys)
                changed = totals.differing_tables(stamp_base(stamp, keys).totals)
                recorded = read_node_state(session, there.guard, there.node, stamp.node_state)
                if there.new_node is not None:
                    lost += find_lost_nodes(session, there.guard, there.new_node, now)
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
        recorded=recorded,
        lost=tuple(lost),
        anchor=anchored,
        anchor_fault=anchor_fault,
    )
    return seen, b"" if row is None else row.value, totals, rows


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
    stamp = seen.stamp
    return ResumePoint(
        epoch=highest_known_epoch(seen) + 1,
        base=StampBase(
            highest_known_commit(seen), totals, state=stamp.node_state if stamp else NOBODY
        ),
        stamp_row=b"",
        checkpoint=found.stored.note if found.stored else "",
        anchored=seen.anchor is not None,
        recorded=seen.recorded,
        sealed_at=_sealed_at(seen),
        break_glass=_break_glass(seen),
        time=stamp.time if stamp else _log_time(found),
        slewed=stamp.slewed if stamp else _log_time(found),
        accepted_findings=tuple(findings),
        acceptance_reason=accepted.reason,
    )


def _sealed_at(seen: ObservedState) -> int:
    """When the seal was ordered that is in force: either place suffices, as each may be older."""
    anchored = seen.anchor.sealed_at if seen.anchor is not None else 0
    return max(anchored or 0, seen.recorded.sealed_at)


def _break_glass(seen: ObservedState) -> tuple[int, int]:
    anchor = seen.anchor
    return (0, 0) if anchor is None else (anchor.break_glass or 0, anchor.break_glass_at or 0)


def _log_time(found: RecoveredLog) -> int:
    """What the log's head says of the time: it is authentic, and at most a minute behind."""
    if found.stored is None or not found.stored.head.size:
        return 0
    return parse_rfc3339(found.stored.head.time, "time")


def _latest_checkpoint(seen: ObservedState, found: RecoveredLog) -> str:
    """The checkpoint over the most records: a power cut may have set the head itself back."""
    sizes = {"": -1}
    for state in (seen.recorded, seen.anchor):
        if state is not None and state.head is not None:
            sizes[state.checkpoint] = state.head.size
    if found.stored is not None:
        sizes[found.stored.note] = found.stored.head.size
    return max(sizes, key=lambda note: sizes[note])
