"""An acceptance goes on record, and the index forgets what the log does not have."""

from actors.testing import FakeWorld
from vault.audit.record import MAX_TEXT
from vault.seal.anchor.audit_events import ACCEPT_ROLLBACK, rollback_accepted_event
from vault.seal.anchor.commit_stamp import StampBase
from vault.seal.anchor.findings import Finding
from vault.seal.anchor.rollback_check import ResumePoint
from vault.seal.anchor.row_totals import RowTotals


def test_the_record_says_what_and_why() -> None:
    """The first finding's code, all findings, the reason; within a record's bounds."""
    findings = (Finding("storage_rolled_back", "a"), Finding("audit_log_behind", "b" * 1000))
    standing = ResumePoint(
        2,
        StampBase(1, RowTotals()),
        b"",
        "",
        anchored=True,
        accepted_findings=findings,
        acceptance_reason="fire",
    )
    made = rollback_accepted_event(standing, FakeWorld())
    assert (made.operation, made.code, made.actor_name) == (
        ACCEPT_ROLLBACK, "storage_rolled_back", "operator",
    )  # fmt: skip
    assert made.alert
    assert made.rule.startswith("reason: fire; a; bbb")
    assert len(made.rule) == MAX_TEXT
