"""Files that are there whole or not at all, with their mode whatever the umask."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from protocols.pki.errors import PkiKeyError

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
MAX_SIZE: Final = 64 * 1024
"""Bytes of a PEM file: some twenty certificates."""

_OTHERS: Final = 0o077


def write_atomically(path: Path, data: bytes, mode: int, *, replace: bool = False) -> None:
    """Put `data` at `path`, synced with its directory. Without `replace` an old file is an error.

    The bytes go to a neighbouring file first, so a crash leaves the old file or the new one.
    Raises `PkiKeyError` when the file exists or cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        _write_draft(draft, data, mode)
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)  # unlike a rename, this never replaces
    except FileExistsError:
        raise PkiKeyError(f"{path} exists and is not replaced") from None
    except OSError as error:
        raise PkiKeyError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    sync_directory(path.parent)


def read_file(path: Path, *, secret: bool = False, most: int = MAX_SIZE) -> bytes:
    """The file's bytes.

    Raises `PkiKeyError` when it is missing, not a plain file, over `most` bytes, or (when `secret`)
    open to group or world.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Checked on the open file: what is checked is what is read.
            _check(path, os.fstat(descriptor), secret=secret, most=most)
            return file.read(most)
    except OSError as error:
        raise PkiKeyError(f"cannot read {path}: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    """Make names in the directory durable. Raises `PkiKeyError` when it cannot."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PkiKeyError(f"cannot sync {directory}: {error.strerror}") from error


def _write_draft(draft: Path, data: bytes, mode: int) -> None:
    draft.unlink(missing_ok=True)  # a crash may have left it
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, SECRET_MODE), "wb") as file:
        # The umask may have taken bits away; a certificate may be read by all.
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check(path: Path, status: os.stat_result, *, secret: bool, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PkiKeyError(f"{path} is not a plain file")
    if secret and status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise PkiKeyError(f"{path} has mode {mode:04o}: run chmod 600 on it")
    if status.st_size > most:
        raise PkiKeyError(f"{path} has more than {most} bytes")
