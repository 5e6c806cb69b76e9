"""A folder of objects that are written once, and are there whole or not at all."""

import os
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from vault.backup.destinations import parts
from vault.backup.destinations.directory import LocalDirectory
from vault.errors import ConflictError, NotFoundError, UnavailableError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Not there yet."""
    return tmp_path / "new" / "backups"


def write(folder: Path, name: str, *pieces: bytes) -> None:
    """An object."""
    with LocalDirectory(folder).create(name) as put:
        for piece in pieces:
            put(piece)


def read(folder: Path, name: str) -> bytes:
    """The object."""
    with LocalDirectory(folder).open(name) as file:
        return file.read()


@contextmanager
def ended_in_time() -> Iterator[None]:
    """Ends what blocks."""
    signal.alarm(10)
    try:
        yield
    finally:
        signal.alarm(0)


def test_written_and_read(folder: Path) -> None:
    """In pieces, for its owner alone."""
    write(folder, "b", b"12", b"3")
    write(folder, "a")
    assert (read(folder, "b"), read(folder, "a")) == (b"123", b"")
    assert LocalDirectory(folder).names() == ["a", "b"]
    assert stat.S_IMODE((folder / "b").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_never_replaced(folder: Path) -> None:
    """Neither an object nor what somebody else has put there."""
    write(folder, "a", b"first")
    with pytest.raises(ConflictError) as caught:
        write(folder, "a", b"second")
    assert caught.value.code == "backup_exists"
    assert read(folder, "a") == b"first"
    (folder / "b").symlink_to("nowhere")
    with pytest.raises(ConflictError):
        write(folder, "b", b"second")
    assert (folder / "b").is_symlink()
    assert LocalDirectory(folder).names() == ["a"]


def test_what_is_no_object(folder: Path) -> None:
    """Links, pipes and folders that somebody has put there by the names of objects."""
    write(folder, "a.manifest", b"first")
    (folder / "b.manifest").symlink_to("a.manifest")
    os.mkfifo(folder / "c.manifest")
    (folder / "d.manifest").mkdir()
    assert LocalDirectory(folder).names() == ["a.manifest"]
    assert [found.name for found in LocalDirectory(folder).objects()] == ["a.manifest"]


def test_given_up(folder: Path) -> None:
    """What fails midway leaves nothing."""
    with suppress(RuntimeError), LocalDirectory(folder).create("a") as put:
        put(b"half")
        raise RuntimeError
    assert list(folder.iterdir()) == []


def test_what_a_dead_process_left(folder: Path) -> None:
    """It is no object, and goes with the next one; what another process is writing stays."""
    folder.mkdir(parents=True)
    (folder / ".dead.part").write_bytes(b"half")
    assert LocalDirectory(folder).names() == []
    with LocalDirectory(folder).create("alive") as put:
        put(b"still ")
        write(folder, "other", b"done")
        assert not (folder / ".dead.part").exists()
        put(b"writing")
    assert read(folder, "alive") == b"still writing"


def test_many_writers_that_tidy_up(folder: Path) -> None:
    """None takes what another one has just begun for what a dead process left."""

    def write_some(writer: int) -> None:
        for number in range(100):
            with suppress(ConflictError, RuntimeError), LocalDirectory(folder).create("failed"):
                raise RuntimeError
            write(folder, f"{writer}-{number}", b"%d" % writer)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_some, range(4)))
    assert len(list(folder.iterdir())) == 400


def test_names_that_look_like_parts_are_left_alone(folder: Path, tmp_path: Path) -> None:
    """Whoever can write to the share: a pipe that nobody writes to, a link, a folder."""
    folder.mkdir(parents=True)
    os.mkfifo(folder / ".pipe.part")
    (tmp_path / "elsewhere").write_bytes(b"")
    (folder / ".link.part").symlink_to(tmp_path / "elsewhere")
    (folder / ".folder.part").mkdir()
    with ended_in_time():
        write(folder, "a", b"written")
    assert read(folder, "a") == b"written"
    assert (tmp_path / "elsewhere").exists()


def test_more_than_was_asked_for() -> None:
    """A server that answers a read with more bytes than it was asked for adds none."""
    whole = bytes(range(100))
    with parts.reader("a", 10, None, lambda _name, first, _count: whole[first:]) as file:
        assert file.read() == whole[:10]


def test_what_is_not_there(folder: Path) -> None:
    """A folder, an object."""
    with pytest.raises(NotFoundError):
        LocalDirectory(folder).names()
    folder.mkdir(parents=True)
    with pytest.raises(NotFoundError) as caught:
        read(folder, "a")
    assert caught.value.code == "backup_missing"


def test_what_is_no_file(folder: Path) -> None:
    """A folder, a pipe that would wait for ever, a link."""
    folder.mkdir(parents=True)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    write(folder, "a")
    (folder / "link").symlink_to("a")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(UnavailableError) as caught:
            read(folder, name)
        assert caught.value.code == "backup_unavailable"
