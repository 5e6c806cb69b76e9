"""What the link gets of backups, and keeps of them while the vault is sealed."""

from typing import Any, cast

from protocols.link import vocabulary as words
from vault.control_link.ports import BackupPorts, LinkPorts
from vault.metrics import Metrics
from vault.model.backup import BackupReport, BackupState, RestoreProof

REPORT = BackupReport(BackupState.GOOD, 5, 4, 3)
PROOF = RestoreProof(rto=9, rpo=8, certificate=b"c" * 32)
OFF = BackupReport(BackupState.OFF, 0, 0, 0)
NONE = cast("Any", None)


async def begin() -> None:
    """Begin a backup."""


def test_a_sealed_vault_still_has_its_backups() -> None:
    """The last report stays, and nothing of the vault is held; the next opening has its own."""
    ports, reports = LinkPorts(), [BackupReport(BackupState.FAILED, 1, 1, 1)]
    assert ports.backups() == OFF
    given = BackupPorts(lambda: reports[-1], lambda: PROOF, lambda: 60, begin)
    with ports.connect(NONE, NONE, bool, given):
        assert ports.run_backup is begin
        reports.append(REPORT)
    reports.append(BackupReport(BackupState.LATE, 0, 0, 0))
    assert (ports.backups(), ports.restore_proof(), ports.backup_period()) == (REPORT, PROOF, 60)
    assert ports.run_backup is None
    with ports.connect(NONE, NONE, bool):
        assert ports.backups() == OFF
    with ports.connect(NONE, NONE, bool, BackupPorts(lambda: None)):
        assert ports.backups() is None


def test_the_words_of_both_sides_are_the_same() -> None:
    """So that every state can be told."""
    assert set(BackupState) == set(words.BackupState)


def test_counters_are_read_by_name() -> None:
    """None while nobody counts."""
    metrics = Metrics()
    assert metrics.counter_value("spans_dropped") is None
    metrics.register_counters(store_tampered=lambda: 4.0)
    assert metrics.counter_value("store_tampered") == 4.0
