"""A folder on a disk that hangs: neither a seal nor the next backup waits for it."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.contract.backup.managed import BY, Managed
from tests.contract.backup.samples import fill
from tests.support.vaults import Vault
from vault.backup.destinations.abandonable import CALL_SECONDS, AbandonableDestination
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.keys import VaultKeys
from vault.crypto.keyring import Keyring
from vault.model.backup import BackupState
from vault.model.backup_runs import CreateBackup, RunOutcome

AT_MOST = 10.0  # seconds, on a busy machine; a seal has 45


class HungDirectory(LocalDirectory):
    """Its writes do not return while `hangs` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.hangs = False
        self.reached = threading.Event()
        self.answers = threading.Event()

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`."""
        with super().create(name) as write:

            def slow(data: bytes) -> None:
                if self.hangs:
                    self.reached.set()
                    self.answers.wait()
                write(data)

            yield slow


class Scene:
    """A vault whose backups go to a folder that can hang."""

    def __init__(self, vault: Vault, folder: Path) -> None:
        self.folder = folder
        self.disk = HungDirectory(folder)
        self.managed = Managed(vault, {})
        place: Any = AbandonableDestination(self.disk, self.managed.world)
        self.managed.plan.destinations["one"] = place  # type: ignore[index]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Its disk answers in the end."""
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")
    with vault.opened():
        fill(vault, 3)
        made = Scene(vault, tmp_path / "backups")
        yield made
        made.disk.answers.set()


async def hang(scene: Scene) -> None:
    """Begin a backup, and wait until its disk hangs."""
    scene.disk.hangs = True
    await scene.managed.manager.start(CreateBackup(), BY)
    await trio.to_thread.run_sync(scene.disk.reached.wait)


async def test_a_seal_does_not_wait(scene: Scene) -> None:
    """And what is left behind has no keys, and removes what was half written when it can."""
    with trio.fail_after(AT_MOST):
        async with scene.managed.serving():
            await hang(scene)
    (event,) = scene.managed.events
    assert event.code == "backup_cancelled"
    (left,) = [each for each in threading.enumerate() if each.name == "backup-disk"]
    assert not holds_keys(left)
    scene.disk.answers.set()
    await trio.to_thread.run_sync(left.join, AT_MOST)
    assert list(scene.folder.iterdir()) == []


def holds_keys(thread: threading.Thread) -> bool:
    """Whether a function that the thread is in has keys at hand."""
    frame = sys._current_frames()[thread.ident or 0]
    values: list[Any] = []
    while frame is not None:
        values += frame.f_locals.values()
        frame = frame.f_back  # type: ignore[assignment]
    assert values
    return any(isinstance(each, Keyring | VaultKeys) for each in values)


async def test_a_backup_that_hangs_has_failed(scene: Scene) -> None:
    """After a time; the next is refused at once until the disk answers, and then made."""
    managed = scene.managed
    async with managed.serving() as manager:
        with trio.fail_after(AT_MOST):
            await hang(scene)
            managed.world.advance(CALL_SECONDS + 1)
            run = await managed.wait(manager.list_runs()[0])
            assert run.error_code == "backup_unavailable"
            assert "does not answer" in run.results[0].error
            assert manager.report().state is BackupState.FAILED
            assert (await managed.back_up()).error_code == "backup_unavailable"
            scene.disk.hangs = False
            scene.disk.answers.set()
            for left in threading.enumerate():
                if left.name == "backup-disk":
                    await trio.to_thread.run_sync(left.join, AT_MOST)
            assert (await managed.back_up()).outcome is RunOutcome.SUCCEEDED
