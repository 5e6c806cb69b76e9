"""A process that commits under load and says what was acknowledged; the tests kill or starve it.

`child.py URL WRITERS [LIMIT]`: each writer appends versions to its own secret. A line a commit:
`ok NAME VERSION`, or `failed CODE`. With LIMIT, no file may grow beyond that many bytes (the kernel
refuses the write) until five commits have failed; afterwards each writer commits once more.
"""

import itertools
import os
import resource
import sys

import trio

from actors import SystemWorld
from tests.contract.store.samples import StampGuard, next_version
from vault.store.interface import BackendError
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store

FAILURES = 5


def say(text: str) -> None:
    """One write, so that a kill cuts no line in two."""
    os.write(1, f"{text}\n".encode())


def limit_files(size: int) -> None:
    """Bound how large a file may be; the hard limit stays, so that it can be lifted."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


async def write(store: Store, name: str, failures: list[str], *, starving: bool) -> None:
    """Commit for ever, or until enough has failed and once more."""
    for _ in itertools.count():
        starved = starving and len(failures) >= FAILURES
        if starved:
            limit_files(resource.RLIM_INFINITY)
        try:
            say(f"ok {name} {await store.commit(next_version(name))}")
        except BackendError as error:
            failures.append(error.code)
            say(f"failed {error.code}")
        else:
            if starved:
                return


async def main(url: str, writers: int, limit: int | None) -> None:
    """Run until killed, or until no longer starved."""
    failures: list[str] = []
    world = SystemWorld()
    async with open_store(SqliteBackend(url), StampGuard(), world, report=lambda _: None) as store:
        if limit is not None:
            limit_files(limit)
        async with trio.open_nursery() as nursery:
            for i in range(writers):
                name = f"secret/{i}"
                nursery.start_soon(
                    lambda name=name: write(store, name, failures, starving=limit is not None)
                )


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None)
