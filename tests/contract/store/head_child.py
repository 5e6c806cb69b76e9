"""A further process on a SQLite file that several share; the tests kill, stop or starve it.

`head_child.py FOLDER NUMBER WHAT [NAME]`: the words of the head are in FOLDER/head, mapped, and
NUMBER is that of the process there.

- `hold`: hold the head until killed; says `held`.
- `die`, `die-at-the-end`: be killed behind a commit, before it is said in the words.
- `write`: append versions to the secret NAME until killed; says `ok NUMBER` for each.
- `starve`: commit when no file may grow, then when it may; says `failed OUTCOME` and `ok NUMBER`.
- `intrude`: write as a program that knows nothing of the head.
- `locks`: say which bytes of the index of the write-ahead log others have locked.
"""

import fcntl
import mmap
import os
import resource
import signal
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from tests.contract.store.harness import following
from tests.contract.store.samples import next_version
from tests.contract.store.sharing import ROOT_KEY
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.store.interface import BackendError
from vault.store.shared_head import BYTES, SharedHead
from vault.store.sqlite import SqliteBackend

FLOCK = "hhqqi4x"  # `struct flock` of 64-bit systems
LOCK_BYTES = range(120, 128)  # https://sqlite.org/walformat.html#wal_locks


def map_words(folder: Path) -> memoryview:
    """The memory of the head, the same for all who map it."""
    file = folder / "head"
    if not file.exists():
        file.write_bytes(bytes(BYTES))
    with file.open("r+b") as opened_file:
        return memoryview(mmap.mmap(opened_file.fileno(), BYTES))


def say(text: str) -> None:
    """One write, so that a kill cuts no line in two."""
    os.write(1, f"{text}\n".encode())


class DyingAtTheEnd(SharedHead):
    """It is killed at the end of a commit, before the words say that it is over."""

    def end_commit(self, number: int) -> None:
        """Do not come to it."""
        _ = number
        os.kill(os.getpid(), signal.SIGKILL)


class Dying(DyingAtTheEnd):
    """It is killed as soon as a commit is stored, before SQLite's count of it is kept."""

    has_begun = False

    def begin_commit(self, number: int) -> None:
        """From here on."""
        super().begin_commit(number)
        self.has_begun = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Do not come to it."""
        if name == "file_changes" and self.has_begun:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__setattr__(name, value)


KINDS = {"die": Dying, "die-at-the-end": DyingAtTheEnd}


def limit_files(size: int) -> None:
    """Bound how large a file may be; the hard limit stays, so that it can be lifted."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


async def commit(folder: Path, number: int, what: str, name: str) -> None:
    """Open the file beside the others, and commit."""
    head = KINDS.get(what, SharedHead)(folder / "vault.db.lock", map_words(folder), number)
    backend = SqliteBackend(f"sqlite:///{folder}/vault.db", head=head, joins=True)
    backend.open()
    keyring = Keyring.decode(ROOT_KEY, (folder / "keyring").read_bytes(), org="o", vault="v")
    keys = DerivedAnchorKeys(keyring)
    async with following(backend, f"{os.getpid()}", head=head, keys=keys) as store:
        if what == "starve":
            limit_files(1)
            try:
                await store.commit(next_version(name))
            except BackendError as error:
                say(f"failed {error.details['outcome']}")
            limit_files(resource.RLIM_INFINITY)
            say(f"ok {await store.commit(next_version(name))}")
            return
        while True:
            say(f"ok {await store.commit(next_version(name))}")


def main(folder: Path, number: int, what: str, name: str = "child") -> None:
    """Do what is asked."""
    match what:
        case "hold":
            with SharedHead(folder / "vault.db.lock", map_words(folder)).hold():
                say("held")
                signal.pause()
        case "intrude":
            with closing(sqlite3.connect(folder / "vault.db")) as database, database:
                database.execute("INSERT INTO system (name, value) VALUES (?, X'00')", (name,))
        case "locks":
            fd = os.open(folder / "vault.db-shm", os.O_RDWR)
            for byte in LOCK_BYTES:
                asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
                kind, *_ = struct.unpack(FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
                if kind != fcntl.F_UNLCK:
                    say(str(byte))
        case _:
            trio.run(commit, folder, number, what, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
