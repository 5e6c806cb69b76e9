"""Copying what was committed to where it belongs, beside those who commit and not in a commit.

A database with a write-ahead log copies it back from time to time, and syncs what it copied. Done
in a commit, as SQLite does by itself, everybody in that batch waits for it, the longer the more
other work the disk has. Done here, a commit finds little left to copy.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.store.interface import BackendError, StoreBackend

CHECKPOINT_ROWS: Final = 500  # changed since the last one; about as many pages of a SQLite log
MIN_PAUSE: Final = 0.25  # seconds between two: each syncs the whole database

log: Final = logging.getLogger("freehold.store")


class Checkpointer:
    """Makes one when enough rows have changed. `run` must run meanwhile."""

    def __init__(self, backend: StoreBackend, world: World) -> None:
        """To be made within a Trio run; it serves that run only."""
        self._backend = backend
        self._world = world
        self._token = trio.lowlevel.current_trio_token()
        self._rows = 0  # ever; by whoever commits
        self._copied = 0  # of these, at the last one
        self._due = trio.Event()

    def on_rows_changed(self, rows: int) -> None:
        """So many more rows are committed; from the thread of whoever has the turn to commit."""
        before = self._rows
        self._rows = before + rows
        if before < self._copied + CHECKPOINT_ROWS <= self._rows:
            self._token.run_sync_soon(self._wake_if_due)

    async def run(self) -> None:
        """Until cancelled; one that has begun is ended first."""
        while True:
            await self._due.wait()
            self._copied, self._due = self._rows, trio.Event()
            try:
                await self._world.run_sync(self._backend.checkpoint)
            except BackendError as error:
                log.warning("no checkpoint of the database, it is tried again: %s", error)
            await self._world.sleep(MIN_PAUSE)
            self._wake_if_due()

    def _wake_if_due(self) -> None:
        if self._rows >= self._copied + CHECKPOINT_ROWS:
            self._due.set()


@asynccontextmanager
async def run_checkpointer(checkpoints: Checkpointer) -> AsyncIterator[None]:
    """They are made for the length of the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoints.run)
        yield
        nursery.cancel_scope.cancel()
