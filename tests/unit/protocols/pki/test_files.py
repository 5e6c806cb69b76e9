import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.pki.errors import PkiKeyError
from protocols.pki.files import (
    MAX_SIZE,
    PUBLIC_MODE,
    SECRET_MODE,
    read_file,
    sync_directory,
    write_atomically,
)


@pytest.fixture(params=[0o000, 0o077, 0o777])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
@pytest.mark.parametrize("mode", [SECRET_MODE, PUBLIC_MODE])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    """Neither wider nor narrower."""
    path = tmp_path / "file"
    write_atomically(path, b"x", mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_is_replaced_only_when_that_is_asked(tmp_path: Path) -> None:
    """A key is never lost by a second command; nothing is left beside it."""
    path = tmp_path / "file"
    write_atomically(path, b"1", SECRET_MODE)
    with pytest.raises(PkiKeyError, match="not replaced"):
        write_atomically(path, b"2", SECRET_MODE)
    assert read_file(path, secret=True) == b"1"
    write_atomically(path, b"3", SECRET_MODE, replace=True)
    assert read_file(path) == b"3"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_what_a_crash_left_does_not_stop_the_next(tmp_path: Path) -> None:
    """A half-written draft is thrown away."""
    (tmp_path / ".file.new").write_bytes(b"half")
    write_atomically(tmp_path / "file", b"whole", SECRET_MODE)
    assert read_file(tmp_path / "file") == b"whole"


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With what to do about it; a certificate may be read by all."""
    path = tmp_path / "key"
    write_atomically(path, b"x", PUBLIC_MODE)
    with pytest.raises(PkiKeyError, match="chmod 600"):
        read_file(path, secret=True)
    assert read_file(path) == b"x"


def test_what_is_no_plain_file_of_a_fit_size_is_refused(tmp_path: Path) -> None:
    """A pipe does not hang it, a large file does not fill the memory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * (MAX_SIZE + 1))
    for name in ("pipe", "large", "missing", "."):
        with pytest.raises(PkiKeyError):
            read_file(tmp_path / name)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As a typed error, writing and syncing."""
    with pytest.raises(PkiKeyError, match="cannot write"):
        write_atomically(tmp_path / "no" / "file", b"x", SECRET_MODE)
    with pytest.raises(PkiKeyError, match="cannot sync"):
        sync_directory(tmp_path / "no")
