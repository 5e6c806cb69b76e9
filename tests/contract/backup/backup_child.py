"""A process that makes or restores a backup and says each step; the tests kill it.

Its arguments are `create URL FOLDER ID`: it says each piece that it writes; or `restore FOLDER ID
URL [LOG]`: each transaction, before it and after it; with an audit log what that says was taken
away is taken away again. `children` makes them, as nearly all of their time would be imports.
"""

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.acceptance.maker import Maker, serve_children
from tests.contract.backup.samples import CREATED, NOW, ignored
from tests.support.databases import make_backend
from tests.support.vaults import ROOT_KEY
from vault.backup.create import create_backup
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.keys import open_keyring
from vault.backup.later_changes import read_later_changes
from vault.backup.offline import SealedVault
from vault.backup.restore import read_backup_header, read_named_manifest, restore_backup
from vault.store.interface import StoreSession, WriteSet


def say(text: str) -> None:
    """One write, so that a kill cuts no line in two."""
    os.write(1, f"{text}\n".encode())


class ToldDirectory(LocalDirectory):
    """Says each piece, and the ends of each object."""

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """As the other's."""
        say("create")
        with super().create(name) as write:

            def told(data: bytes) -> None:
                write(data)
                say("piece")

            yield told
            say("whole")
        say("durable")


def create(url: str, folder: str, backup: str) -> None:
    """Back it up."""
    backend = make_backend(url)
    backend.take()
    header = SealedVault.of_database(backend).header
    create_backup(
        backend,
        ToldDirectory(Path(folder)),
        open_keyring(header, ROOT_KEY),
        backup=backup,
        created=CREATED,
        progress=ignored,
    )


def restore(folder: str, backup: str, url: str, log: str = "") -> None:
    """Restore it."""
    backend = make_backend(url)
    write = backend.write

    def told(apply: Callable[[StoreSession], WriteSet]) -> None:
        say("begin")
        write(apply)
        say("end")

    changed: Any = backend
    changed.write = told  # this one alone is watched
    source = LocalDirectory(Path(folder))
    keys = open_keyring(read_backup_header(source, backup), ROOT_KEY)
    later = None
    if log:
        manifest = read_named_manifest(source, backup)
        later = read_later_changes([Path(log)], manifest, keys, progress=ignored)
    restore_backup(
        source,
        backup,
        backend,
        keys,
        root_key=ROOT_KEY,
        now=NOW,
        progress=ignored,
        most=20,
        keep_tokens=True,
        later=later,
    )


def main() -> None:
    """What the arguments say."""
    {"create": create, "restore": restore}[sys.argv[0]](*sys.argv[1:])
    say("done")


@cache
def children() -> Maker:
    """What makes them, of this process alone."""
    made = Maker(module=__name__)
    atexit.register(made.close)
    return made


if __name__ == "__main__":
    serve_children(main)
