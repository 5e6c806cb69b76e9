"""The state of a vault's backups by the reports of its nodes, and by their age."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.model.backups import (
    DEFAULT_PERIOD,
    GRACE,
    NO_CERTIFICATE,
    PROOF_AGE,
    BackupRecord,
    follow_report,
    judge_backups,
)
from protocols.instant import DAY, HOUR
from protocols.link.vocabulary import BackupState

NOW = 100 * DAY
GOOD = BackupRecord(
    org="acme", vault="a", state="good", newest=NOW - HOUR, proven=NOW - HOUR, count=3,
    period=86_400, rto=5, rpo=0, certificate=b"c" * 32, at=NOW - HOUR,
)  # fmt: skip
OFF = replace(GOOD, state="off", newest=0, proven=0, count=0, certificate=NO_CERTIFICATE)


def conditions(*rows: BackupRecord, now: int = NOW) -> set[str]:
    """The codes that fire."""
    judged = judge_backups(rows, now)
    assert judged is not None
    return set(judged.conditions)


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ("off", set()),
        ("good", set()),
        ("late", {"backup_late"}),
        ("failed", {"backup_failed"}),
        ("unproven", {"backup_unproven"}),
    ],
)
def test_each_state_has_its_alert(state: str, codes: set[str]) -> None:
    """Good ones, and none by choice, have no alert."""
    assert conditions(replace(GOOD, state=state)) == codes


def test_a_silent_agent_becomes_late() -> None:
    """After its period and the grace, by the clock here; one that makes none does not."""
    end = GOOD.newest + DAY + GRACE
    assert conditions(GOOD, now=end) == set()
    assert conditions(GOOD, now=end + 1) == {"backup_late"}
    judged = judge_backups([GOOD], end + 1)
    assert judged is not None
    assert judged.state is BackupState.LATE
    assert conditions(replace(GOOD, state="failed"), now=end + 1) == {
        "backup_late",
        "backup_failed",
    }
    assert conditions(OFF, now=end + 1) == set()


def test_a_period_that_is_not_known_is_a_day() -> None:
    """Rather an alert too many than a vault without backups that nobody sees."""
    unknown = replace(GOOD, period=0)
    end = GOOD.newest + DEFAULT_PERIOD + GRACE
    assert conditions(unknown, now=end) == set()
    assert conditions(unknown, now=end + 1) == {"backup_late"}


def test_a_clock_that_is_ahead_does_not_hide_lateness() -> None:
    """A backup of the future is as old as the report of it, whatever is reported after that."""
    ahead = replace(GOOD, newest=NOW + 1000 * DAY, proven=NOW + 1000 * DAY, at=NOW)
    later = follow_report(ahead, replace(ahead, count=4, at=NOW + DAY))
    assert (later.count, later.at) == (4, NOW)
    assert conditions(later, now=NOW + DAY + GRACE + 1) == {"backup_late"}
    judged = judge_backups([later], NOW + PROOF_AGE + 1)
    assert judged is not None
    assert not judged.is_fresh
    assert follow_report(ahead, replace(GOOD, at=NOW + 1)).at == NOW + 1


def test_an_agent_that_forgets_its_backups_gains_no_time() -> None:
    """Restarted with its destination away it knows of none: the age goes on."""
    none = follow_report(GOOD, replace(GOOD, newest=0, proven=0, at=NOW))
    again = follow_report(none, replace(none, count=0, at=NOW + HOUR))
    end = GOOD.newest + DAY + GRACE
    assert conditions(again, now=end) == set()
    assert conditions(again, now=end + 1) == {"backup_late"}
    begun = follow_report(OFF, replace(GOOD, newest=0, at=NOW))
    assert conditions(begun, now=NOW + DAY) == set()


def test_the_first_backup_has_a_period_of_time() -> None:
    """From the first report on."""
    none = replace(GOOD, newest=0, proven=0, at=NOW)
    assert conditions(none, now=NOW + DAY + GRACE) == set()
    assert conditions(none, now=NOW + DAY + GRACE + 1) == {"backup_late"}


def test_the_newest_report_of_a_vault_counts() -> None:
    """A node that was away, or that makes none, neither fires nor ends an alert."""
    stale = replace(GOOD, vault="b", newest=NOW - 5 * DAY, state="failed")
    off = replace(OFF, vault="c")
    assert conditions(GOOD, stale, off) == set()
    assert conditions(stale, off) == {"backup_late", "backup_failed"}
    failed = replace(GOOD, vault="b", state="failed")
    assert conditions(GOOD, failed) == {"backup_failed"}
    assert conditions(off) == set()
    assert judge_backups([], NOW) is None


def test_a_certificate_is_fresh_for_a_while() -> None:
    """7 days, or two periods; without a certificate a time alone proves nothing."""
    for period, length in ((86_400, PROOF_AGE), (10 * 86_400, 20 * DAY)):
        row = replace(GOOD, period=period)
        for age, fresh in ((length, True), (length + 1, False)):
            judged = judge_backups([row], row.proven + age)
            assert judged is not None
            assert judged.is_fresh is fresh
    bare = judge_backups([replace(GOOD, certificate=NO_CERTIFICATE)], NOW)
    assert bare is not None
    assert (bare.is_fresh, bare.certificate_hex) == (False, "")
    unproven = judge_backups([replace(GOOD, proven=0)], NOW)
    assert unproven is not None
    assert not unproven.is_fresh


ROWS = st.lists(
    st.builds(
        BackupRecord,
        org=st.just("acme"), vault=st.sampled_from("abc"), state=st.sampled_from(BackupState),
        newest=st.integers(0, 2**63 - 1), proven=st.integers(0, 2**63 - 1),
        count=st.integers(0, 9), period=st.integers(0, 2**63 - 1), rto=st.just(0),
        rpo=st.just(0), certificate=st.sampled_from((NO_CERTIFICATE, b"c" * 32)),
        at=st.integers(0, NOW),
    )
)  # fmt: skip


@given(rows=ROWS, data=st.data())
def test_the_order_of_reports_does_not_matter(
    rows: list[BackupRecord], data: st.DataObject
) -> None:
    """Whatever agents say: the same nodes have the same alerts, so nothing flaps."""
    mixed = data.draw(st.permutations(rows))
    one, other = judge_backups(rows, NOW), judge_backups(mixed, NOW)
    assert (one is None) == (other is None) == (not rows)
    if one is not None and other is not None:
        assert (one.conditions, one.newest) == (other.conditions, other.newest)
