"""The anchor's file: whole, its owner's alone, and the old one or the new one after any failure."""

import os
from pathlib import Path

import pytest

from tests.unit.vault.seal.anchor.places import KEYS
from vault.seal.anchor import anchor_file
from vault.seal.anchor.anchor_file import AnchorFile, read_unverified, replace_file, sync_folder
from vault.seal.anchor.state import Anchor

OLD = Anchor(vault="vault-1", epoch=1, commits=1, checkpoint="")
NEW = Anchor(vault="vault-1", epoch=1, commits=2, checkpoint="")


def test_it_is_read_back(tmp_path: Path) -> None:
    """None at first; its folder is made; 0600 and 0700 whatever the umask."""
    anchor = AnchorFile(tmp_path / "apart" / "vault.anchor")
    assert anchor.read(KEYS) is None
    umask = os.umask(0)
    try:
        anchor.write(OLD, KEYS)
    finally:
        os.umask(umask)
    assert anchor.read(KEYS) == read_unverified(anchor.path) == OLD
    assert anchor.path.stat().st_mode & 0o777 == 0o600
    assert anchor.path.parent.stat().st_mode & 0o777 == 0o700
    assert list(anchor.path.parent.iterdir()) == [anchor.path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """And the next one does not mind what it left."""
    anchor = AnchorFile(tmp_path / "vault.anchor")
    anchor.write(OLD, KEYS)

    def fail(*_: object) -> None:
        raise OSError(5, "the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, fail)
        with pytest.raises(OSError, match="away"):
            anchor.write(NEW, KEYS)
    assert anchor.read(KEYS) == OLD
    anchor.write(NEW, KEYS)
    assert anchor.read(KEYS) == NEW


def test_it_is_durable_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is synced, then the name is changed, then the folder is synced."""
    steps: list[str] = []
    sync, rename, folder = os.fsync, Path.replace, sync_folder
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (steps.append("name"), rename(a, b))[1])
    monkeypatch.setattr(
        anchor_file, "sync_folder", lambda p: (steps.append("folder"), folder(p))[1]
    )
    replace_file(tmp_path / "a", b"x")
    assert steps == ["sync", "name", "folder", "sync"]


def test_it_follows_no_link(tmp_path: Path) -> None:
    """Somebody who may make names in the folder does not choose what we write to."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "vault.anchor.new").symlink_to(victim)
    (tmp_path / "vault.anchor").symlink_to(victim)
    AnchorFile(tmp_path / "vault.anchor").write(NEW, KEYS)
    assert victim.read_text() == "mine"


def test_what_is_none_is_told(tmp_path: Path) -> None:
    """Not taken for a missing one."""
    path = tmp_path / "vault.anchor"
    path.write_bytes(b"\0" * 100_000)
    with pytest.raises(ValueError, match="damaged"):
        AnchorFile(path).read(KEYS)
    with pytest.raises(ValueError, match="not an anchor"):
        read_unverified(path)
