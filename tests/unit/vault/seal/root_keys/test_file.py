"""vault.seal.root_keys.file."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vault.crypto.errors import KeyFileError
from vault.seal.root_keys.file import FileRootKey


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """The process's umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_the_file_is_0600_under_any_umask(mask: int, tmp_path: Path) -> None:
    """A permissive umask does not open it (CVE-2021-38553), a strict one does not lock it."""
    path = tmp_path / "key"
    with umask(mask):
        key = FileRootKey(path).write_new()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == key == FileRootKey(path).load()


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    """`create` refuses, also through a dangling link, and leaves it as it was."""
    path = tmp_path / "key"
    key = FileRootKey(path).write_new()
    with pytest.raises(KeyFileError, match="exists"):
        FileRootKey(path).write_new()
    assert path.read_bytes() == key
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="exists"):
        FileRootKey(tmp_path / "link").write_new()
    assert not (tmp_path / "nowhere").exists()


def test_initialise_uses_the_file_that_is_there(tmp_path: Path) -> None:
    """A start that failed after writing it does not lose it; a missing one is made; no shares."""
    provider = FileRootKey(tmp_path / "key")
    first = provider.create()
    assert provider.create().root_key == first.root_key == provider.load()
    assert first.shares == ()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    """Any group or world bit, with the remedy in the message."""
    path = tmp_path / "key"
    FileRootKey(path).write_new()
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        FileRootKey(path).load()


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(mode: int, tmp_path: Path) -> None:
    """0400 is stricter and as good."""
    path = tmp_path / "key"
    key = FileRootKey(path).write_new()
    path.chmod(mode)
    assert FileRootKey(path).load() == key


@pytest.mark.parametrize("size", [0, 31, 33, 44])
def test_another_size_is_refused(size: int, tmp_path: Path) -> None:
    """A half-written file, a trailing newline and a base64 text are not keys."""
    path = tmp_path / "key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=f"{size} bytes"):
        FileRootKey(path).load()


def test_a_file_cut_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size was right when it was checked; what was read is what counts."""
    path = tmp_path / "key"
    FileRootKey(path).write_new()
    monkeypatch.setattr(os, "read", lambda _, size: bytes(size - 1))
    with pytest.raises(KeyFileError, match="cut short"):
        FileRootKey(path).load()


def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    """A directory or a pipe is refused, without waiting for a writer."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("pipe", "folder"):
        with pytest.raises(KeyFileError, match="plain file"):
            FileRootKey(tmp_path / name).load()


def test_a_missing_file_or_folder_is_said(tmp_path: Path) -> None:
    """With the system's own words."""
    with pytest.raises(KeyFileError, match="No such file"):
        FileRootKey(tmp_path / "key").load()
    with pytest.raises(KeyFileError, match="No such file"):
        FileRootKey(tmp_path / "no" / "key").write_new()


def test_file_and_folder_are_synced_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When `create` returns, a power cut leaves the file and its name."""
    synced: list[bool] = []
    real = os.fsync

    def spy(descriptor: int) -> None:
        real(descriptor)
        status = os.fstat(descriptor)
        synced.append(stat.S_ISDIR(status.st_mode))
        assert synced[-1] or status.st_size == 32

    monkeypatch.setattr(os, "fsync", spy)
    FileRootKey(tmp_path / "key").write_new()
    assert synced == [False, True]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_or_broken_disk_is_an_error_and_no_key(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC at the write or at the sync: nothing is returned, the cause is kept."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(KeyFileError, match="No space left") as caught:
        FileRootKey(tmp_path / "key").write_new()
    assert isinstance(caught.value.__cause__, OSError)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes 5 bytes at a time still gets all 32."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
    key = FileRootKey(tmp_path / "key").write_new()
    assert (tmp_path / "key").read_bytes() == key


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_a_start_that_failed_leaves_nothing_in_the_way(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ended: the next one makes a key, and there is one file."""

    def gone(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, gone)
        with pytest.raises(KeyFileError):
            FileRootKey(tmp_path / "key").create()
    assert not (tmp_path / "key").exists()
    key = FileRootKey(tmp_path / "key").create().root_key
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert FileRootKey(tmp_path / "key").load() == key


def test_a_folder_that_cannot_be_searched_is_told_with_its_remedy(tmp_path: Path) -> None:
    """Whoever asks for a vault, or for its key, hears of the setting."""
    file = FileRootKey(tmp_path / ("n" * 300) / "key")
    for asked in (file.require_place, file.create):
        with pytest.raises(KeyFileError, match=r"cannot look for key file .*encryption\.key_file"):
            asked()


def test_a_place_for_a_key_has_one_or_can_get_one(tmp_path: Path) -> None:
    """One that is there is not written to, nor is anything beside it."""
    file = FileRootKey(tmp_path / "key")
    file.require_place()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyFileError, match="let the agent's user write"):
        FileRootKey(tmp_path / "none" / "key").require_place()
    file.write_new()
    file.require_place()


def test_a_key_that_has_two_names_loses_the_first(tmp_path: Path) -> None:
    """A start that ended between naming it and removing the other name."""
    key = FileRootKey(tmp_path / "key").write_new()
    os.link(tmp_path / "key", tmp_path / "key.new")
    assert FileRootKey(tmp_path / "key").create().root_key == key
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_key_on_a_volume_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was put there is used; only a draft beside it, which cannot go, is refused."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    key = FileRootKey(tmp_path / "key").write_new()
    monkeypatch.setattr(os, "unlink", refuse)
    assert FileRootKey(tmp_path / "key").create().root_key == key
    os.link(tmp_path / "key", tmp_path / "key.new")
    with pytest.raises(KeyFileError, match=r"key\.new.*remove it"):
        FileRootKey(tmp_path / "key").create()


def test_where_there_are_no_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its name all the same, and still replaces no file."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    key = FileRootKey(tmp_path / "key").write_new()
    with pytest.raises(KeyFileError, match="exists"):
        FileRootKey(tmp_path / "key").write_new()
    assert FileRootKey(tmp_path / "key").load() == key
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_next_key_makes_room_only_where_it_is_not_in_force(tmp_path: Path) -> None:
    """One that is whole and in force gets its name first; what is not is replaced."""
    file = FileRootKey(tmp_path / "key")
    old = file.write_new()
    for left in (b"", b"cut short", bytes(32)):
        file.next_path.write_bytes(left)
        file.write_next(b"n" * 32, current=old)
        assert file.next_path.read_bytes() == b"n" * 32
        assert file.load() == old
    file.next_path.chmod(0o644)  # whatever its mode is
    file.write_next(b"m" * 32, current=b"n" * 32)
    assert file.path.read_bytes() == b"n" * 32
    assert file.next_path.read_bytes() == b"m" * 32
    file.next_path.unlink()
    file.next_path.mkdir()
    with pytest.raises(KeyFileError, match="cannot write"):
        file.write_next(b"x" * 32, current=b"n" * 32)


def test_a_key_that_cannot_be_renamed_stays(tmp_path: Path) -> None:
    """And the error says where it is, and what to do."""
    file = FileRootKey(tmp_path / "key")
    file.path.mkdir()
    file.next_path.write_bytes(b"n" * 32)
    for step in (file.activate_next, lambda: file.write_next(bytes(32), current=b"n" * 32)):
        with pytest.raises(KeyFileError, match=r"in force is in .*/key\.next.*copy it over"):
            step()
        assert file.next_path.read_bytes() == b"n" * 32
