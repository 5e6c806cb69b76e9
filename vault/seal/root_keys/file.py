"""A root key in a file of mode 0600: the vault unseals alone at each start.

Protects a stolen database or backup, not a stolen host: keep the file on another volume than the
data, and a copy elsewhere. The file is the 32 key bytes and nothing else.
"""

import errno
import os
import stat
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path

from vault.crypto.errors import KeyFileError
from vault.crypto.random import random_bytes
from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.shares import ROOT_KEY_SIZE

MODE = 0o600
_OTHERS = 0o077
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system without second names says, as of a stick that is put away."""


class FileRootKey:
    """The root key at `path`."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> NewRootKey:
        """Use the file if there is one (a start that failed later left it), or create it.

        Raises `KeyFileError` as `load` and `create` do.
        """
        if not self._exists():
            return NewRootKey(self.write_new())
        key = self.load()
        if os.path.lexists(self._draft):  # looked at first: the volume may be read-only
            try:
                self._draft.unlink()  # the same key by its first name
            except OSError as error:
                raise KeyFileError(
                    f"cannot remove {self._draft}, a draft of the key: {error.strerror}; remove it"
                ) from error
        return NewRootKey(key)

    def require_place(self) -> None:
        """Check that `create` finds a key or can write one. Raises `KeyFileError`."""
        if not self._exists():
            self.require_folder()

    def _exists(self) -> bool:
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise KeyFileError(
                f"cannot look for key file {self.path}: {error.strerror}; let the agent's user "
                "search the folders above it, or set `encryption.key_file` to a file where it may "
                "(with the systemd unit: /var/lib/freehold-key/root.key) and restart the agent"
            ) from error
        return True

    def require_absent(self) -> None:
        """Check that no file is replaced, and that one can be made. Raises `KeyFileError`."""
        if self._exists():
            raise KeyFileError(
                f"key file {self.path} is there already: move it away, since it may open backups, "
                "or set `encryption.key_file` to another one and restart the agent"
            )
        self.require_folder()

    def require_folder(self) -> None:
        """Try whether files can be made beside this one. Raises `KeyFileError`, with the remedy."""
        probe, folder = self.path.with_name(f"{self.path.name}.probe"), self.path.parent
        try:
            probe.unlink(missing_ok=True)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
            probe.unlink()
        except OSError as error:
            raise KeyFileError(
                f"cannot write key file {self.path}: {folder}: {error.strerror}; let the agent's "
                "user write in that folder, or set `encryption.key_file` to a file in a folder "
                "where it may (with the systemd unit: /var/lib/freehold-key) and restart the agent"
            ) from error

    def restore(self, key: bytes) -> None:
        """Write the key in force where its file is gone; durable. Never replaces a file.

        Raises `KeyFileError` where it cannot be written, and where the file has another key.
        """
        if not self._exists():
            self.write_new(key)
        elif not self._holds_key(key):
            raise KeyFileError(
                f"{self.path} does not hold the key of this vault: move it away, and unseal by "
                "break-glass once more to have the key written there"
            )

    def write_new(self, key: bytes | None = None) -> bytes:
        """Write a new key, or this one, durably and return it. Never replaces a file.

        Raises `KeyFileError` when the file exists or cannot be written and synced whole. It gets
        its name when it is whole: a start that ends before leaves none that is refused later.
        """
        key = random_bytes(ROOT_KEY_SIZE) if key is None else key
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._draft.unlink(missing_ok=True)  # of such a start: it has opened nothing
            descriptor = os.open(self._draft, flags, MODE)
            try:
                # The umask may have taken bits away; it cannot have added any.
                os.fchmod(descriptor, MODE)
                write_all(descriptor, key)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            try:
                _link_without_replacing(self._draft, self.path)
            finally:
                self._draft.unlink(missing_ok=True)
            sync_directory(self.path.parent)
        except OSError as error:
            raise KeyFileError(f"cannot write key file {self.path}: {error.strerror}") from error
        return key

    def write_next(self, key: bytes, *, current: bytes) -> None:
        """Write the key that is to take the place of this one, beside it; durable on return.

        Raises `KeyFileError`. A start tries both until `activate_next` or `remove_next` has ended
        that. A file that is there already is removed only if it does not have the key `current`, or
        is not the only one that does.
        """
        try:
            if self._next_is(current) and not self._holds_key(current):
                self.activate_next()
            self.next_path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self.next_path, flags, MODE)
            try:
                os.fchmod(descriptor, MODE)
                write_all(descriptor, key)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_directory(self.path.parent)
        except OSError as error:
            raise KeyFileError(
                f"cannot write key file {self.next_path}: {error.strerror}"
            ) from error

    def activate_next(self) -> None:
        """Put the next key in the place of this one. Raises `KeyFileError`."""
        try:
            self.next_path.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise KeyFileError(
                f"the key in force is in {self.next_path}, which cannot be renamed to {self.path} "
                f"({error.strerror}): keep that file, copy it over {self.path}, then remove it"
            ) from error

    def remove_next(self) -> None:
        """The next key is not in force and will not be. What cannot be removed opens nothing."""
        with suppress(OSError):
            self.next_path.unlink(missing_ok=True)

    def _next_is(self, key: bytes) -> bool:
        """Whether the next one holds this key, whatever its mode. Raises `OSError`."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.next_path, flags)
        except FileNotFoundError:
            return False
        try:
            return compare_digest(os.read(descriptor, ROOT_KEY_SIZE + 1), key)
        finally:
            os.close(descriptor)

    def _holds_key(self, key: bytes) -> bool:
        with suppress(KeyFileError):
            return compare_digest(self.load(), key)
        return False

    @property
    def next_path(self) -> Path:
        """Where the key is that is to take the place of this one."""
        return self.path.with_name(f"{self.path.name}.next")

    @property
    def _draft(self) -> Path:
        return self.path.with_name(f"{self.path.name}.new")

    def load(self) -> bytes:
        """The key.

        Raises `KeyFileError` when the file is missing, not a plain file, open to group or world,
        or not of 32 bytes.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                # Checked on the open file: what is checked is what is read.
                self._check(os.fstat(descriptor))
                key = os.read(descriptor, ROOT_KEY_SIZE)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise KeyFileError(f"cannot read key file {self.path}: {error.strerror}") from error
        if len(key) != ROOT_KEY_SIZE:
            raise KeyFileError(f"key file {self.path} was cut short while being read")
        return key

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"key file {self.path} is not a plain file")
        if status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(f"key file {self.path} has mode {mode:04o}: run chmod 600 on it")
        if status.st_size != ROOT_KEY_SIZE:
            raise KeyFileError(
                f"key file {self.path} has {status.st_size} bytes instead of {ROOT_KEY_SIZE}"
            )


def _link_without_replacing(draft: Path, path: Path) -> None:
    """Give a file its name, never over another."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        draft.rename(path)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many writes as it takes. Raises `OSError`."""
    while data:
        data = data[os.write(descriptor, data) :]


def sync_directory(directory: Path) -> None:
    """Have the names in a folder outlive a power cut. Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
