"""An acceptance goes on record, and the index forgets what the log does not have."""

from actors.testing import FakeWorld
from vault.anchor.aftermath import OPERATION, event
from vault.anchor.judge import Finding
from vault.anchor.mark import Base
from vault.anchor.opening import Standing
from vault.anchor.rows import Totals
from vault.audit.record import MAX_TEXT


def test_the_record_says_what_and_why() -> None:
    """The first finding's code, all findings, the reason; within a record's bounds."""
    findings = (Finding("storage_rolled_back", "a"), Finding("audit_log_behind", "b" * 1000))
    standing = Standing(2, Base(1, Totals()), b"", "", anchored=True, accepted=findings, why="fire")
    made = event(standing, FakeWorld())
    assert (made.operation, made.code, made.actor_name) == (
        OPERATION, "storage_rolled_back", "operator",
    )  # fmt: skip
    assert made.alert
    assert made.rule.startswith("reason: fire; a; bbb")
    assert len(made.rule) == MAX_TEXT
