"""An opening looks at all three places and changes none of them."""

from pathlib import Path

import pytest

from tests.contract.store.samples import put, remove, user
from tests.unit.vault.seal.anchor.places import (
    KEYRING,
    KEYS,
    Log,
    commit,
    new_stamp_writer,
    renamed,
    there,
)
from vault.audit.retention import RetentionNotice
from vault.audit.testing import NODE, NOW, VAULT
from vault.barrier import HmacRowGuard
from vault.errors import TamperedError, UnavailableError
from vault.model.records import SystemRow
from vault.seal.anchor.acceptance import Acceptance, write_acceptance
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import (
    CommitStampWriter,
    StampBase,
    StampTimes,
)
from vault.seal.anchor.rollback_check import anchor_unavailable_error, check_rollback
from vault.seal.anchor.row_totals import sum_rows
from vault.seal.anchor.state import Anchor
from vault.store.memory import MemoryBackend
from vault.store.tables import SYSTEM, USERS
from vault.store.transaction import transact


class Vault:
    """A vault that has run for a while: two commits, three batches, an anchor."""

    def __init__(self, folder: Path) -> None:
        self.backend, self.stamp_writer = MemoryBackend(), new_stamp_writer()
        commit(self.backend, self.stamp_writer, put(USERS, user("a")))
        log = Log(folder / "audit.log", lambda: self.stamp_writer.commits)
        for _ in range(3):
            self.stamp_writer.checkpoint = log.grow()
        self.stamp_writer.anchored = True
        commit(self.backend, self.stamp_writer, put(USERS, user("b")))
        log.close()
        self.file = AnchorFile(folder / "vault.anchor")
        self.file.write(anchor(self.stamp_writer), KEYS)


def anchor(stamp_writer: CommitStampWriter) -> Anchor:
    """What it says of the stamp_writer's state."""
    return Anchor(
        vault=VAULT, epoch=1, commits=stamp_writer.commits, checkpoint=stamp_writer.checkpoint
    )


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """In good order."""
    return Vault(tmp_path)


def test_it_goes_on_where_it_was(vault: Vault, tmp_path: Path) -> None:
    """A stamp_writer made of the standing counts on; the latest checkpoint is kept."""
    standing = check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
    assert (standing.epoch, standing.base.commits, standing.accepted_findings) == (1, 2, ())
    assert standing.anchored
    assert standing.checkpoint == vault.stamp_writer.checkpoint
    stamp_writer = CommitStampWriter(
        KEYS, base=standing.base, written=standing.stamp_row, node=NODE
    )
    commit(vault.backend, stamp_writer, put(USERS, user("c")))
    assert check_rollback(there(vault.backend, tmp_path), KEYS, NOW).base.commits == 3


def test_a_finding_keeps_it_shut_and_says_what_to_do(vault: Vault, tmp_path: Path) -> None:
    """With the code of the first and the words of all, and nothing was changed."""
    transact(vault.backend, put(USERS, user("intruder")), HmacRowGuard(KEYRING))
    vault.file.path.unlink()
    for _ in range(2):
        with pytest.raises(TamperedError) as refused:
            check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
        assert refused.value.code == "storage_rows_changed"
        for word in ("users", "the anchor is missing", "accept-rollback"):
            assert word in refused.value.message


def test_an_acceptance_goes_on_above_all_that_is_known(vault: Vault, tmp_path: Path) -> None:
    """Epoch and count, with the rows as they are, and no claim on a log that is gone."""
    for path in tmp_path.glob("audit.log*"):
        path.unlink()
    transact(vault.backend, put(USERS, user("restored")), HmacRowGuard(KEYRING))
    vault.file.write(Anchor(vault=VAULT, epoch=4, commits=70, checkpoint=""), KEYS)
    write_acceptance(vault.file.path, Acceptance(NOW, "a fire"))
    standing = check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
    assert (standing.epoch, standing.base.commits, standing.checkpoint) == (5, 70, "")
    assert [finding.code for finding in standing.accepted_findings] == [
        "storage_rolled_back", "storage_rolled_back", "storage_rows_changed", "audit_log_behind",
    ]  # fmt: skip
    assert standing.acceptance_reason == "a fire"
    stamp_writer = CommitStampWriter(
        KEYS, base=standing.base, written=standing.stamp_row, replaced=standing.replaced_row,
        epoch=standing.epoch, node=NODE,
    )  # fmt: skip
    commit(vault.backend, stamp_writer)
    vault.file.write(Anchor(vault=VAULT, epoch=5, commits=71, checkpoint=""), KEYS)
    assert not check_rollback(there(vault.backend, tmp_path, epoch=5), KEYS, NOW).accepted_findings


def test_an_acceptance_that_is_not_needed_is_none(vault: Vault, tmp_path: Path) -> None:
    """Nothing is raised, nothing is recorded."""
    write_acceptance(vault.file.path, Acceptance(NOW, "in case"))
    assert not check_rollback(there(vault.backend, tmp_path), KEYS, NOW).accepted_findings


def test_a_head_that_a_power_cut_set_back_is_no_finding(vault: Vault, tmp_path: Path) -> None:
    """The records are there; the mark's checkpoint is then the latest, and is kept."""
    head = tmp_path / "audit.log.head"
    newest = vault.stamp_writer.checkpoint.encode()
    head.write_bytes(head.read_bytes().replace(newest, bytes(len(newest))))
    standing = check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
    assert standing.checkpoint == vault.stamp_writer.checkpoint


def test_an_anchor_that_cannot_be_read_is_told(vault: Vault, tmp_path: Path) -> None:
    """By its path; it is not taken for a missing one."""
    vault.file.path.unlink()
    vault.file.path.mkdir()
    with pytest.raises(UnavailableError) as refused:
        check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
    assert (
        refused.value.code
        == anchor_unavailable_error(OSError(1, "x", "y")).code
        == "anchor_unavailable"
    )
    assert str(vault.file.path) in refused.value.message


@pytest.mark.parametrize("name", ["clock", "kek-uses/1"])
def test_rows_without_a_mac_are_covered_by_the_mark(
    vault: Vault, tmp_path: Path, name: str
) -> None:
    """Nobody changes, adds, removes or puts back one behind the agent's back."""
    for change in (put(SYSTEM, SystemRow(name=name, value=b"1")), remove(SYSTEM, name)):
        commit(vault.backend, vault.stamp_writer, put(SYSTEM, SystemRow(name=name, value=b"2")))
        check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
        transact(vault.backend, change)
        with pytest.raises(TamperedError, match="in: system") as refused:
            check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
        assert refused.value.code == "storage_rows_changed"
        transact(vault.backend, put(SYSTEM, SystemRow(name=name, value=b"2")))


def test_the_time_is_that_of_the_last_mark(vault: Vault, tmp_path: Path) -> None:
    """With how far the slewed clock had come, and what retention had announced."""
    times = StampTimes(NOW + 7, NOW + 5, RetentionNotice(3, 100, NOW + 9))
    stamp_writer = CommitStampWriter(
        KEYS, base=base_of_now(vault), written=b"", replaced=None, node=NODE, times=lambda: times
    )
    commit(vault.backend, stamp_writer)
    standing = check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
    assert (standing.time, standing.slewed, standing.recorded.notice) == times


def base_of_now(vault: Vault) -> StampBase:
    """What is stored."""
    with vault.backend.read() as session:
        return StampBase(vault.stamp_writer.commits, sum_rows(session, KEYS))


def test_a_row_under_another_key_keeps_it_shut(vault: Vault, tmp_path: Path) -> None:
    """No query would find it: a denial that nobody meets. Nor is it what an acceptance is for."""
    renamed(vault.backend, "b")
    with pytest.raises(TamperedError, match="table users was changed"):
        check_rollback(there(vault.backend, tmp_path), KEYS, NOW)
