"""Writes the anchor, behind the audit log and never beside it: no request waits.

It follows the log's batches and writes about once a second while there is something to say, and
once more when log and store have come to their end.
"""

import errno
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio
from msgspec import UNSET

from actors import World
from vault.audit.batch import Batch
from vault.errors import UnavailableError
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import CommitStampWriter
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.rollback_check import anchor_unavailable_error
from vault.seal.anchor.state import Anchor

log: Final = logging.getLogger("freehold.anchor")
WRITE_INTERVAL: Final = (
    1.0  # seconds between writes: what an attacker who sets all else back can hide
)
WRITE_TIMEOUT: Final = 3.0  # seconds for one write: its file system may hang, as a network's does


class AnchorWriter:
    """A follower of the log. Run by `run_anchor_writer`."""

    def __init__(
        self, file: AnchorFile, keys: AnchorKeys, stamp_writer: CommitStampWriter, world: World
    ) -> None:
        self._file = file
        self._keys = keys
        self._stamp_writer = stamp_writer
        self._writing = trio.Lock()
        self._in_thread = threading.Lock()  # one write at a time, also after one was abandoned
        self._newest: Anchor | None = None
        self._world = world
        self._pending = trio.Event()
        self.error = ""
        """Why the anchor was not written at the last attempt; empty when it was."""

    def on_open(self, size: int) -> None:
        """The log was opened: nothing to say before its next batch."""

    def on_batch(self, batch: Batch) -> None:
        """The log has grown: the next stamps say so, and the next anchor."""
        if batch.note:
            self._stamp_writer.checkpoint = batch.note
            self._pending.set()

    def wants_lines(self) -> bool:
        """See `LogFollower`."""
        return False

    async def write_anchor(self) -> None:
        """Write the anchor as things stand. Raises `UnavailableError` (`anchor_unavailable`).

        A write that takes longer than `WRITE_TIMEOUT`, or is cancelled, is abandoned: it may still
        end by itself, but never after a newer one.
        """
        try:
            with trio.fail_after(WRITE_TIMEOUT):
                await self._write_newest()
        except trio.TooSlowError:
            error = self._timeout_error()
        except OSError as failure:
            error = failure
        else:
            return
        self.error = f"{type(error).__name__}: {error.strerror}"
        raise anchor_unavailable_error(error) from error

    async def _write_newest(self) -> None:
        stamp_writer = self._stamp_writer
        async with self._writing:
            anchor = Anchor(
                vault=self._keys.vault,
                node=stamp_writer.node,
                epoch=stamp_writer.epoch,
                commits=stamp_writer.commits,
                checkpoint=stamp_writer.checkpoint,
                sealed_at=stamp_writer.sealed_at or UNSET,
                break_glass=stamp_writer.break_glass[0] or UNSET,
                break_glass_at=stamp_writer.break_glass[1] or UNSET,
            )
            self._newest = anchor
            await self._world.run_sync(self._replace_file, anchor, abandon_on_cancel=True)
            self.error = ""
            stamp_writer.anchored = True

    def _replace_file(self, anchor: Anchor) -> None:
        """In a thread. An abandoned write goes first; one that has become old is left out."""
        if not self._in_thread.acquire(timeout=WRITE_TIMEOUT):
            raise self._timeout_error()
        try:
            if anchor is self._newest:
                self._file.write(anchor, self._keys)
        finally:
            self._in_thread.release()

    def _timeout_error(self) -> OSError:
        path = str(self._file.path)
        return TimeoutError(errno.ETIMEDOUT, f"no answer within {WRITE_TIMEOUT:g} s", path)

    async def run(self) -> None:
        """Write when there is something to say, until cancelled. A write that fails is retried."""
        while True:
            await self._pending.wait()
            self._pending = trio.Event()
            try:
                await self.write_anchor()
            except UnavailableError as error:
                log.error("%s", error)  # noqa: TRY400  # one line tells all
                self._pending.set()
            await self._world.sleep(WRITE_INTERVAL)

    async def watch_commits(self) -> None:
        """Have what other nodes commit written as well, as far as it was seen; until cancelled."""
        while True:
            await self._world.sleep(WRITE_INTERVAL)
            if self._newest is None or self._newest.commits < self._stamp_writer.commits:
                self._pending.set()


@asynccontextmanager
async def run_anchor_writer(
    writer: AnchorWriter, *, is_alone: bool = True
) -> AsyncIterator[AnchorWriter]:
    """Keep the anchor for the length of the block, which log and store lie within.

    `is_alone`: no other node commits to the database. An orderly exit leaves the anchor up to date.
    If that fails it is only older, which contradicts nothing.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        if not is_alone:
            nursery.start_soon(writer.watch_commits)
        yield writer
        nursery.cancel_scope.cancel()
    with suppress(UnavailableError):
        await writer.write_anchor()
