"""The anchor as a file: replaced whole and durably, or left as it was. Blocks."""

import os
from pathlib import Path
from typing import Final

from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.state import MAX_BYTES, Anchor, decode_state, decode_unverified, encode_state

MODE: Final = 0o600


class AnchorFile:
    """One path. Every method raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, keys: AnchorKeys) -> Anchor | None:
        """What it says; None when there is no file. Raises `ValueError` for one not ours."""
        try:
            return decode_state(_content(self.path), Anchor, keys)
        except FileNotFoundError:
            return None

    def write(self, anchor: Anchor, keys: AnchorKeys) -> None:
        """Durable on return. The folder is made if it is missing."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.path, encode_state(anchor, keys))


def read_unverified(path: Path) -> Anchor:
    """What an anchor says to somebody without keys. Raises `ValueError` and `OSError`."""
    return decode_unverified(_content(path), Anchor)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another, its owner's alone whatever the umask; durable."""
    new = temporary_path(path)
    new.unlink(missing_ok=True)  # of a write that a crash cut short
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    new.replace(path)
    sync_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """Where the file lies until it is whole."""
    return path.with_name(path.name + ".new")


def sync_folder(folder: Path) -> None:
    """Make the names in it durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)
