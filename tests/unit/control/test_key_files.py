"""The control plane's own keys."""

import stat
from pathlib import Path

import pytest

from control.key_files import public_bytes, read_sealing_key, read_signing_key, read_signing_keys
from protocols.pki.errors import PkiKeyError


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The next start has the same ones, and only their owner reads them."""
    folder = tmp_path / "keys"
    made, sealing = read_signing_keys(folder), read_sealing_key(folder)
    assert read_signing_keys(folder).fingerprint == made.fingerprint
    assert read_sealing_key(folder) == sealing
    assert len(sealing) == 32
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert names == dict.fromkeys(("policy.pem", "witness.pem", "link.pem", "sealing.key"), 0o600)


def test_each_use_has_a_key_of_its_own(tmp_path: Path) -> None:
    """What is signed for one is nothing for another."""
    assert len({public_bytes(key) for key in read_signing_keys(tmp_path)}) == 3


def test_another_key_in_one_place_is_seen(tmp_path: Path) -> None:
    """By the fingerprint, which processes on one database compare."""
    before = read_signing_keys(tmp_path).fingerprint
    (tmp_path / "link.pem").unlink()
    assert read_signing_keys(tmp_path).fingerprint != before


def test_a_damaged_key_is_not_made_anew(tmp_path: Path) -> None:
    """It opens what is stored: the error says what to do, and the file stays as it is."""
    read_sealing_key(tmp_path)
    read_signing_key(tmp_path, "link")
    for name in ("sealing.key", "link.pem"):
        (tmp_path / name).write_bytes(b"short")
    with pytest.raises(PkiKeyError, match="put it back from a backup"):
        read_sealing_key(tmp_path)
    with pytest.raises(PkiKeyError):
        read_signing_key(tmp_path, "link")
    assert (tmp_path / "sealing.key").read_bytes() == b"short"
