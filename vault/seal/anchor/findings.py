"""What the three places say, held against each other. Pure.

Each claim was true and durable when it was made, so a place that has less than another claims was
set back: no crash and no power cut does that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vault.seal.anchor.state import NOBODY, Anchor, CommitStamp, NodeState


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What is there at an opening. A state is None when it is missing, or when `…_fault` says why.

    `changed` are the tables whose rows are not those that the stamp counts; `recorded` is what the
    database says of this node. `lost` are the nodes that had their files here, where none are left.
    """

    epoch: int  # of the keyring
    log_size: int  # records
    log_commits: int  # of the store, as the log's signed heads say
    stamp: CommitStamp | None = None
    stamp_fault: str = ""
    changed: tuple[str, ...] = ()
    anchor: Anchor | None = None
    anchor_fault: str = ""
    recorded: NodeState = NOBODY
    lost: tuple[str, ...] = ()


class Finding(NamedTuple):
    """One thing that is wrong: `code` for programs, `what` for people."""

    code: str
    what: str


def find_rollbacks(seen: ObservedState) -> list[Finding]:
    """Everything that was set back, the gravest first; empty when all is well."""
    return [*_database(seen), *_log(seen), *_anchor(seen)]


def highest_known_commit(seen: ObservedState) -> int:
    """The highest count of commits that any of the three knows of."""
    states = [state.commits for state in (seen.stamp, seen.anchor) if state]
    places = (seen.stamp, seen.recorded, seen.anchor)
    heads = [head.store for state in places if state and (head := state.head)]
    return max(seen.log_commits, *states, *heads, 0)


def highest_known_epoch(seen: ObservedState) -> int:
    """The highest epoch of the keyring that any of them knows of."""
    return max(seen.epoch, *(state.epoch for state in (seen.stamp, seen.anchor) if state), 1)


def _database(seen: ObservedState) -> Iterator[Finding]:
    known, code = highest_known_commit(seen), "storage_rolled_back"
    if seen.stamp_fault:
        yield Finding(
            "storage_mark_damaged", f"the commit stamp in the database: {seen.stamp_fault}"
        )
    elif seen.stamp is None:
        yield Finding(code, f"the database has no commit stamp; {known} commits are known of")
    elif seen.stamp.commits < known:
        yield Finding(code, f"the database is at commit {seen.stamp.commits}, {known} are known of")
    if seen.epoch < highest_known_epoch(seen):
        yield Finding(
            code, f"the keyring is at epoch {seen.epoch}, {highest_known_epoch(seen)} is known of"
        )
    if seen.changed:
        tables = ", ".join(seen.changed)
        what = f"rows were removed, added or put back behind the agent's back in: {tables}"
        yield Finding("storage_rows_changed", what)


def _log(seen: ObservedState) -> Iterator[Finding]:
    heads = [head.size for state in (seen.recorded, seen.anchor) if state and (head := state.head)]
    known = max(heads, default=0)
    if seen.log_size < known:
        what = f"the audit log has {seen.log_size} records, {known} are known of"
        yield Finding("audit_log_behind", what if seen.log_size else f"{what}: it is gone")
    for node in seen.lost:
        what = f"node {node} had its audit log here, and log and anchor are gone"
        yield Finding("audit_log_behind", what)


def _anchor(seen: ObservedState) -> Iterator[Finding]:
    if seen.anchor_fault:
        yield Finding("anchor_damaged", f"the anchor: {seen.anchor_fault}")
    elif seen.anchor is None and seen.recorded.anchored:
        yield Finding("anchor_missing", "the anchor is missing, and the database says that it was")
