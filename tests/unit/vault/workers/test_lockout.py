"""vault.workers.lockout: counted once, by the leader."""

import pytest

from tests.unit.vault.workers.pages import new_page
from vault.authn.lockout import DURATION, FAILURES
from vault.workers.elsewhere import Elsewhere
from vault.workers.journal import Cleared, Failed, JournalReader, JournalWriter
from vault.workers.lockout import LeaderLockout, WorkerLockout

PAIR = ("id", "10.0.0.1")
OTHER = ("id", "10.0.0.2")
NOW = 10**18


def test_the_leader_tells() -> None:
    """Each failure, and that they are forgotten; not what changes nothing."""
    memory = new_page()
    lockout, reader = LeaderLockout(JournalWriter(memory)), JournalReader(memory)
    for _ in range(FAILURES):
        lockout.record_failure(PAIR, NOW)
    assert lockout.is_locked(PAIR, NOW)
    lockout.record_success(OTHER)
    lockout.record_success(PAIR)
    assert reader.read() == [*[Failed(PAIR)] * FAILURES, Cleared(PAIR)]


def test_what_may_have_been_missed_counts() -> None:
    """A worker that came late, or lost entries, knows no pair to be without failures for a time."""
    memory = new_page()
    JournalWriter(memory).failed(PAIR, NOW)
    lockout = WorkerLockout(memory)
    for pair in (PAIR, OTHER):
        with pytest.raises(Elsewhere):
            lockout.is_locked(pair, NOW + DURATION - 1)
        assert not lockout.is_locked(pair, NOW + DURATION)
