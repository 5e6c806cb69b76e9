"""A process that copies a vault and says each transaction; the tests kill it.

`copy_child.py FROM TO BATCH`: URLs as in a configuration, and rows of a transaction. A line a
transaction, before it and after it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from tests.support.databases import make_backend
from vault.store.copy import copy_vault
from vault.store.interface import StoreSession, WriteSet


@contextmanager
def ignored(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Nobody looks at how far it is."""
    yield lambda _: None


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return sha256(data).digest()


def say(text: str) -> None:
    """One write, so that a kill cuts no line in two."""
    os.write(1, f"{text}\n".encode())


def main(source: str, target: str, batch: int) -> None:
    """Copy."""
    backend = make_backend(target)
    write = backend.write

    def told(apply: Callable[[StoreSession], WriteSet]) -> None:
        say("begin")
        write(apply)
        say("end")

    backend.write = told  # type: ignore[method-assign]  # this one alone is watched
    copy_vault(make_backend(source), backend, digest, ignored, most=batch)
    say("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
