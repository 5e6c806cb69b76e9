"""Copying what was committed to where it belongs, beside the writer instead of in a commit.

A database with a write-ahead log copies it back from time to time, and syncs what it copied. Done
in a commit, as SQLite does by itself, everybody in that batch waits for it, the longer the more
other work the disk has. Done here, the writer's own turn finds little left to copy.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.store.interface import Backend, BackendError

ROWS: Final = 500  # changed since the last one; about as many pages of a SQLite log
REST: Final = 0.25  # seconds between two: each syncs the whole database

log: Final = logging.getLogger("freehold.store")


class Checkpoints:
    """Makes one when enough rows have changed. `run` must run meanwhile."""

    def __init__(self, backend: Backend, world: World) -> None:
        self._backend = backend
        self._world = world
        self._rows = 0
        self._due = trio.Event()

    def changed(self, rows: int) -> None:
        """So many more rows are committed; returns at once."""
        self._rows += rows
        if self._rows >= ROWS:
            self._due.set()

    async def run(self) -> None:
        """Until cancelled; one that has begun is ended first."""
        while True:
            await self._due.wait()
            self._rows, self._due = 0, trio.Event()
            try:
                await self._world.run_sync(self._backend.checkpoint)
            except BackendError as error:
                log.warning("no checkpoint of the database, it is tried again: %s", error)
            await self._world.sleep(REST)


@asynccontextmanager
async def checkpointing(checkpoints: Checkpoints) -> AsyncIterator[None]:
    """They are made for the length of the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoints.run)
        yield
        nursery.cancel_scope.cancel()
