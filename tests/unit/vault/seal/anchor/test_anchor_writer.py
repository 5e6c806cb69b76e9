"""The anchor follows the log, about once a second, and no request waits for it."""

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import SystemWorld
from actors.testing import FakeWorld
from tests.unit.vault.seal.anchor.places import AUDIT_KEYS, KEYS, commit, new_stamp_writer
from vault.audit.batch import Batch, BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.testing import LOG_ID, NODE, NOW, VAULT, make_pending_record
from vault.errors import UnavailableError
from vault.seal.anchor import anchor_writer
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.anchor_writer import WRITE_INTERVAL, AnchorWriter, run_anchor_writer
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.state import Anchor
from vault.store.memory import MemoryBackend


class Kept:
    """A anchor_writer in a fake world, and a log in memory."""

    def __init__(self, folder: Path) -> None:
        self.world, self.stamp_writer, self.backend = (
            FakeWorld(),
            new_stamp_writer(),
            MemoryBackend(),
        )
        self.file = AnchorFile(folder / "vault.anchor")
        self.anchor_writer = AnchorWriter(self.file, KEYS, self.stamp_writer, self.world)
        position = LogPosition(Chain(AUDIT_KEYS.digest), 0, 0, 0, is_closed=True, checkpoint=0)
        self._ledger = BatchComposer(
            AUDIT_KEYS, LOG_ID, position, rotation_bytes=2**30, commits=self._commits
        )

    def batch(self) -> Batch:
        """The log's next."""
        return self._ledger.compose([make_pending_record()], NOW)

    def commit(self) -> None:
        """One transaction."""
        commit(self.backend, self.stamp_writer)

    def anchor(self) -> Anchor | None:
        """What the file says."""
        return self.file.read(KEYS)

    def _commits(self) -> int:
        return self.stamp_writer.commits


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[Kept]:
    """A anchor_writer at work."""
    made = Kept(folder)
    async with run_anchor_writer(made.anchor_writer):
        yield made


async def test_it_writes_what_was_acknowledged(tmp_path: Path) -> None:
    """The batch's signed head, and the count of commits; then marks may say that there is one."""
    async with kept(tmp_path) as it:
        it.anchor_writer.on_open(0)
        await wait_all_tasks_blocked()
        assert it.anchor() is None
        assert not it.stamp_writer.anchored
        it.commit()
        batch = it.batch()
        it.anchor_writer.on_batch(batch)
        assert it.stamp_writer.checkpoint == batch.note
        await wait_all_tasks_blocked()
        assert it.anchor() == Anchor(
            vault=VAULT, node=NODE, epoch=1, commits=1, checkpoint=batch.note
        )
        assert it.stamp_writer.anchored


async def test_many_batches_are_one_write_a_second(tmp_path: Path) -> None:
    """And the last of them is not forgotten when it becomes quiet."""
    async with kept(tmp_path) as it:
        it.anchor_writer.on_batch(it.batch())
        await wait_all_tasks_blocked()
        first = it.anchor()
        for _ in range(5):
            last = it.batch()
            it.anchor_writer.on_batch(last)
            await wait_all_tasks_blocked()
        assert it.anchor() == first
        it.world.advance(WRITE_INTERVAL)
        await wait_all_tasks_blocked()
        found = it.anchor()
        assert found is not None
        assert found.checkpoint == last.note


async def test_an_orderly_end_leaves_it_exact(tmp_path: Path) -> None:
    """Whatever came within the last second."""
    async with kept(tmp_path) as it:
        it.anchor_writer.on_batch(it.batch())
        await wait_all_tasks_blocked()
        last = it.batch()
        it.anchor_writer.on_batch(last)
        it.commit()
    assert it.anchor() == Anchor(vault=VAULT, node=NODE, epoch=1, commits=1, checkpoint=last.note)


@pytest.mark.parametrize("is_alone", [True, False])
async def test_commits_of_others_are_written_too(tmp_path: Path, *, is_alone: bool) -> None:
    """Within a second, though nothing is said in this node's log; and once."""
    it = Kept(tmp_path)
    async with run_anchor_writer(it.anchor_writer, is_alone=is_alone):
        it.anchor_writer.on_batch(it.batch())
        await wait_all_tasks_blocked()
        for commits in (1, 2):
            it.commit()  # as `catch_up` counts what another node has committed
            for _ in range(2):  # at the most: one to notice, and one between two writes
                it.world.advance(WRITE_INTERVAL)
                await wait_all_tasks_blocked()
            found = it.anchor()
            assert found is not None
            assert found.commits == (0 if is_alone else commits)
        written = it.file.path.stat().st_mtime_ns
        it.world.advance(WRITE_INTERVAL)
        await wait_all_tasks_blocked()
        assert it.file.path.stat().st_mtime_ns == written


async def test_a_failure_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on; `error` and the log say why, until it works again."""

    def fail(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    async with kept(tmp_path) as it:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            it.anchor_writer.on_batch(it.batch())
            await wait_all_tasks_blocked()
            assert it.anchor_writer.error == "OSError: No space left on device"
            with pytest.raises(UnavailableError, match="anchor_unavailable"):
                await it.anchor_writer.write_anchor()
        it.world.advance(WRITE_INTERVAL)
        await wait_all_tasks_blocked()
        assert it.anchor_writer.error == ""
        assert it.anchor() is not None
    assert "anchor_unavailable" in caplog.text


async def test_two_writes_at_once_do_not_meet(tmp_path: Path) -> None:
    """An opening writes while the log already grows."""
    it = Kept(tmp_path)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(it.anchor_writer.write_anchor)
    assert it.anchor() is not None


async def test_records_without_a_head_say_nothing_new(tmp_path: Path) -> None:
    """What others wrote comes in pieces: the last of them has the signed head."""
    async with kept(tmp_path) as it:
        first = it.batch()
        it.anchor_writer.on_batch(first)
        it.anchor_writer.on_batch(replace(it.batch(), note=""))
        assert it.stamp_writer.checkpoint == first.note
        assert not it.anchor_writer.wants_lines()


class HangingFile(AnchorFile):
    """Of a file system that does not answer until it is `released`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.released, self.entered = threading.Event(), threading.Event()

    def write(self, anchor: Anchor, keys: AnchorKeys) -> None:
        """Block."""
        self.entered.set()
        self.released.wait()
        super().write(anchor, keys)


async def test_a_file_system_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write after the other fails in time; once it answers, the newest is what stays."""
    monkeypatch.setattr(anchor_writer, "WRITE_TIMEOUT", 0.05)
    file, stamp_writer = HangingFile(tmp_path / "vault.anchor"), new_stamp_writer()
    writer = AnchorWriter(file, KEYS, stamp_writer, SystemWorld())
    for number in range(3):
        stamp_writer.sealed_at = number
        with pytest.raises(UnavailableError, match="anchor_unavailable"):
            await writer.write_anchor()
        assert writer.error == "TimeoutError: no answer within 0.05 s"
    monkeypatch.setattr(anchor_writer, "WRITE_TIMEOUT", 30.0)
    stamp_writer.sealed_at = NOW
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.write_anchor)
        await wait_all_tasks_blocked(0.05)
        file.released.set()
    written = file.read(KEYS)
    assert written is not None
    assert written.sealed_at == NOW
    assert writer.error == ""


async def test_the_end_does_not_wait_for_a_file_system_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anchor is only older then."""
    monkeypatch.setattr(anchor_writer, "WRITE_TIMEOUT", 0.05)
    it = Kept(tmp_path)
    file = HangingFile(tmp_path / "vault.anchor")
    writer = AnchorWriter(file, KEYS, it.stamp_writer, SystemWorld())
    try:
        with trio.fail_after(30):
            async with run_anchor_writer(writer):
                writer.on_batch(it.batch())
                await trio.to_thread.run_sync(file.entered.wait)
    finally:
        file.released.set()
