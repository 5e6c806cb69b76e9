"""What the three places say, held against each other."""

from typing import Any

import pytest

from vault.audit.checkpoint import TreeHead, sign_checkpoint
from vault.audit.testing import make_keys
from vault.seal.anchor.findings import (
    ObservedState,
    find_rollbacks,
    highest_known_commit,
    highest_known_epoch,
)
from vault.seal.anchor.state import NOBODY, Anchor, CommitStamp


def note(size: int, commits: int) -> str:
    """A signed head."""
    head = TreeHead("freehold.audit/v", size, bytes(32), bytes(32), "2026-01-01T00:00:00Z", commits)
    return sign_checkpoint(head, make_keys())


def mark(commits: int = 10, size: int = 20, head_commits: int = 9, epoch: int = 2) -> CommitStamp:
    """A mark in the database."""
    return CommitStamp(
        vault="v", epoch=epoch, commits=commits, checkpoint=note(size, head_commits),
        anchored=True, rows=b"",
    )  # fmt: skip


def anchor(commits: int = 10, size: int = 20, head_commits: int = 9, epoch: int = 2) -> Anchor:
    """An anchor."""
    checkpoint = note(size, head_commits)
    return Anchor(vault="v", epoch=epoch, commits=commits, checkpoint=checkpoint)


GOOD: dict[str, Any] = {
    "epoch": 2, "log_size": 20, "log_commits": 10, "stamp": mark(),
    "anchor": anchor(), "recorded": mark().node_state,
}  # fmt: skip
NEW = CommitStamp(vault="v", epoch=1, commits=1, checkpoint="", anchored=False, rows=b"")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stamp": mark(commits=12), "epoch": 3},
        {"log_size": 25, "log_commits": 8},
        {"anchor": anchor(commits=3, size=2, head_commits=2, epoch=1)},
        {
            "stamp": NEW,
            "recorded": NOBODY,
            "anchor": None,
            "log_size": 0,
            "log_commits": 0,
            "epoch": 1,
        },
        {
            "stamp": NEW,
            "recorded": NOBODY,
            "anchor": None,
            "log_size": 5,
            "log_commits": 1,
            "epoch": 1,
        },
        {"stamp": mark(size=99)},
    ],
    ids=[
        "even",
        "ahead",
        "log ahead",
        "old anchor",
        "new vault",
        "crash before the anchor",
        "another node's log",
    ],
)
def test_what_a_crash_leaves_is_well(changes: dict[str, Any]) -> None:
    """A place may be ahead of what others know of it."""
    assert find_rollbacks(ObservedState(**{**GOOD, **changes})) == []


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"stamp": mark(commits=9), "anchor": None, "log_commits": 10},
            ["storage_rolled_back", "anchor_missing"]),
        ({"stamp": mark(commits=9), "log_commits": 0}, ["storage_rolled_back"]),
        ({"anchor": anchor(commits=5, head_commits=11)}, ["storage_rolled_back"]),
        ({"stamp": None}, ["storage_rolled_back"]),
        ({"stamp": None, "stamp_fault": "x"}, ["storage_mark_damaged"]),
        ({"epoch": 1}, ["storage_rolled_back"]),
        ({"changed": ("tokens",)}, ["storage_rows_changed"]),
        ({"log_size": 19}, ["audit_log_behind"]),
        ({"log_size": 0}, ["audit_log_behind"]),
        ({"log_size": 20, "anchor": anchor(size=21)}, ["audit_log_behind"]),
        ({"log_size": 20, "recorded": mark(size=21).node_state}, ["audit_log_behind"]),
        ({"recorded": mark(head_commits=11).node_state}, ["storage_rolled_back"]),
        ({"stamp": NEW, "recorded": NOBODY, "anchor": None, "log_size": 0, "log_commits": 0,
            "epoch": 1, "lost": ("a", "b")}, ["audit_log_behind", "audit_log_behind"]),
        ({"anchor": None}, ["anchor_missing"]),
        ({"anchor": None, "anchor_fault": "x"}, ["anchor_damaged"]),
    ],
)  # fmt: skip
def test_what_was_set_back_is_found(changes: dict[str, Any], codes: list[str]) -> None:
    """Each place by the claim of another that is just above it."""
    assert [
        finding.code for finding in find_rollbacks(ObservedState(**{**GOOD, **changes}))
    ] == codes


def test_the_highest_claims_are_known() -> None:
    """Whoever makes them."""
    assert highest_known_commit(ObservedState(**GOOD)) == 10
    assert highest_known_commit(ObservedState(**{**GOOD, "log_commits": 11})) == 11
    assert highest_known_commit(ObservedState(**{**GOOD, "stamp": mark(head_commits=12)})) == 12
    assert highest_known_commit(ObservedState(epoch=1, log_size=0, log_commits=0)) == 0
    assert highest_known_epoch(ObservedState(**{**GOOD, "anchor": anchor(epoch=5)})) == 5
    assert highest_known_epoch(ObservedState(**{**GOOD, "epoch": 6})) == 6
