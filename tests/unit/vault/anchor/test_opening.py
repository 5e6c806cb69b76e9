"""An opening looks at all three places and changes none of them."""

from pathlib import Path

import pytest

from tests.contract.store.samples import put, user
from tests.unit.vault.anchor.places import KEYRING, KEYS, Log, commit, new_marker, there
from vault.anchor.acceptance import Acceptance, write
from vault.anchor.file import AnchorFile
from vault.anchor.mark import Marker
from vault.anchor.opening import stand, unavailable
from vault.anchor.state import Anchor
from vault.audit.testing import NOW, VAULT
from vault.barrier import RowGuard
from vault.errors import TamperedError, UnavailableError
from vault.store.memory import MemoryBackend
from vault.store.tables import USERS
from vault.store.tx import transact


class Vault:
    """A vault that has run for a while: two commits, three batches, an anchor."""

    def __init__(self, folder: Path) -> None:
        self.backend, self.marker = MemoryBackend(), new_marker()
        commit(self.backend, self.marker, put(USERS, user("a")))
        log = Log(folder / "audit.log", lambda: self.marker.commits)
        for _ in range(3):
            self.marker.checkpoint = log.grow()
        self.marker.anchored = True
        commit(self.backend, self.marker, put(USERS, user("b")))
        log.close()
        self.file = AnchorFile(folder / "vault.anchor")
        self.file.write(anchor(self.marker), KEYS)


def anchor(marker: Marker) -> Anchor:
    """What it says of the marker's state."""
    return Anchor(vault=VAULT, epoch=1, commits=marker.commits, checkpoint=marker.checkpoint)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """In good order."""
    return Vault(tmp_path)


def test_it_goes_on_where_it_was(vault: Vault, tmp_path: Path) -> None:
    """A marker made of the standing counts on; the latest checkpoint is kept."""
    standing = stand(there(vault.backend, tmp_path), KEYS, NOW)
    assert (standing.epoch, standing.base.commits, standing.accepted) == (1, 2, ())
    assert standing.anchored
    assert standing.checkpoint == vault.marker.checkpoint
    marker = Marker(KEYS, base=standing.base, written=standing.written)
    commit(vault.backend, marker, put(USERS, user("c")))
    assert stand(there(vault.backend, tmp_path), KEYS, NOW).base.commits == 3


def test_a_finding_keeps_it_shut_and_says_what_to_do(vault: Vault, tmp_path: Path) -> None:
    """With the code of the first and the words of all, and nothing was changed."""
    transact(vault.backend, put(USERS, user("intruder")), RowGuard(KEYRING))
    vault.file.path.unlink()
    for _ in range(2):
        with pytest.raises(TamperedError) as refused:
            stand(there(vault.backend, tmp_path), KEYS, NOW)
        assert refused.value.code == "storage_rows_changed"
        for word in ("users", "the anchor is missing", "accept-rollback"):
            assert word in refused.value.message


def test_an_acceptance_goes_on_above_all_that_is_known(vault: Vault, tmp_path: Path) -> None:
    """Epoch and count, with the rows as they are, and no claim on a log that is gone."""
    for path in tmp_path.glob("audit.log*"):
        path.unlink()
    transact(vault.backend, put(USERS, user("restored")), RowGuard(KEYRING))
    vault.file.write(Anchor(vault=VAULT, epoch=4, commits=70, checkpoint=""), KEYS)
    write(vault.file.path, Acceptance(NOW, "a fire"))
    standing = stand(there(vault.backend, tmp_path), KEYS, NOW)
    assert (standing.epoch, standing.base.commits, standing.checkpoint) == (5, 70, "")
    assert [finding.code for finding in standing.accepted] == [
        "storage_rolled_back", "storage_rolled_back", "storage_rows_changed", "audit_log_behind",
    ]  # fmt: skip
    assert standing.why == "a fire"
    marker = Marker(KEYS, base=standing.base, written=standing.written, epoch=standing.epoch)
    commit(vault.backend, marker)
    vault.file.write(Anchor(vault=VAULT, epoch=5, commits=71, checkpoint=""), KEYS)
    assert not stand(there(vault.backend, tmp_path, epoch=5), KEYS, NOW).accepted


def test_an_acceptance_that_is_not_needed_is_none(vault: Vault, tmp_path: Path) -> None:
    """Nothing is raised, nothing is recorded."""
    write(vault.file.path, Acceptance(NOW, "in case"))
    assert not stand(there(vault.backend, tmp_path), KEYS, NOW).accepted


def test_a_head_that_a_power_cut_set_back_is_no_finding(vault: Vault, tmp_path: Path) -> None:
    """The records are there; the mark's checkpoint is then the latest, and is kept."""
    head = tmp_path / "audit.log.head"
    newest = vault.marker.checkpoint.encode()
    head.write_bytes(head.read_bytes().replace(newest, bytes(len(newest))))
    standing = stand(there(vault.backend, tmp_path), KEYS, NOW)
    assert standing.checkpoint == vault.marker.checkpoint


def test_an_anchor_that_cannot_be_read_is_told(vault: Vault, tmp_path: Path) -> None:
    """By its path; it is not taken for a missing one."""
    vault.file.path.unlink()
    vault.file.path.mkdir()
    with pytest.raises(UnavailableError) as refused:
        stand(there(vault.backend, tmp_path), KEYS, NOW)
    assert refused.value.code == unavailable(OSError(1, "x", "y")).code == "anchor_unavailable"
    assert str(vault.file.path) in refused.value.message
