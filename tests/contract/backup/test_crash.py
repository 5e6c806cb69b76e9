"""Killed, out of space, cancelled: no backup that claims to be whole, no vault that is half one."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from actors import SystemWorld
from tests.contract.backup.backup_child import children
from tests.contract.backup.logs import AuditLog
from tests.contract.backup.samples import back_up, fill, ignored, restore
from tests.support.databases import SERVERS, make_backend, shared_server
from tests.support.vaults import Vault, contents, require_whole
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.keys import VaultKeys
from vault.backup.later_changes import read_later_changes
from vault.backup.restore import list_backups, verify_backup
from vault.backup.threads import run_backup_work
from vault.errors import UnavailableError, VaultError
from vault.store.bulk import Progress
from vault.store.tables import API_KEYS, SECRETS

KINDS: Final = ("sqlite", *SERVERS)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A closed one in a file."""
    made = Vault(f"sqlite:///{tmp_path}/vault.db")
    with made.opened():
        fill(made)
    return made


def run_child(lines: int, *arguments: str) -> None:
    """Run it until it has said so many lines, and kill it there."""
    said, says = os.pipe()
    with os.fdopen(said, "rb") as lines_of_it:
        with os.fdopen(says, "wb") as out, os.fdopen(os.dup(2), "wb") as errors:
            child = children().make(arguments, {}, out, errors)
        assert lines_of_it.readline(), "it has not begun"
        for _ in range(lines - 1):
            lines_of_it.readline()
        child.kill()
        child.wait()


def require_valid(vault: Vault, folder: Path, backup: str) -> None:
    """It is whole."""
    verify_backup(LocalDirectory(folder), backup, VaultKeys(vault.keyring), progress=ignored)


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 6])
def test_killed_while_it_is_made(vault: Vault, tmp_path: Path, lines: int) -> None:
    """What is listed is whole; what is not is removed by the next one."""
    folder = tmp_path / "backups"
    folder.mkdir()
    run_child(lines, "create", vault.url, str(folder), "first")
    listed = [each.id for each in list_backups(LocalDirectory(folder))[0]]
    assert listed in ([], ["first"])
    for backup in listed:
        require_valid(vault, folder, backup)
    with vault.opened():
        back_up(vault, folder, "second")
    require_valid(vault, folder, "second")
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("lines", [1, 4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_it_is_restored(vault: Vault, tmp_path: Path, kind: str, lines: int) -> None:
    """Killed twice: no agent opens it, and the third run completes it."""
    folder = tmp_path / "backups"
    with vault.opened() as backend:
        manifest = back_up(vault, folder)
        wanted = contents(backend)[SECRETS.name]
    url = f"sqlite:///{tmp_path}/new.db" if kind == "sqlite" else shared_server(kind).empty()
    for _ in range(2):
        run_child(lines, "restore", str(folder), manifest.id, url)
        if is_whole(vault, url, wanted):
            return  # it was quicker than the kill
    restore(vault, folder, manifest.id, make_backend(url), most=20, keep_tokens=True)
    assert is_whole(vault, url, wanted)


@pytest.mark.parametrize(("kind", "lines"), [*((kind, 9) for kind in KINDS), ("sqlite", 14)])
def test_killed_with_revocations(vault: Vault, tmp_path: Path, kind: str, lines: int) -> None:
    """There is no vault, or one in which all of them are: never one with some."""
    folder = tmp_path / "backups"
    log = AuditLog(tmp_path / "logs" / "audit.log", vault.keyring)
    with vault.opened() as backend:
        manifest = back_up(vault, folder)
        wanted = [row for row in contents(backend)[SECRETS.name] if row.name != "secret/0007"]
    log.append("key.revoke", "sys/keys/key")
    log.append("secret.purge", "secret/0007", response={"secret_id": "id-secret/0007"})
    url = f"sqlite:///{tmp_path}/new.db" if kind == "sqlite" else shared_server(kind).empty()
    run_child(lines, "restore", str(folder), manifest.id, url, str(log.file))
    if not is_whole(vault, url, wanted):
        keys = VaultKeys(vault.keyring)
        later = read_later_changes([log.file], manifest, keys, progress=ignored)
        target = make_backend(url)
        restore(vault, folder, manifest.id, target, most=20, keep_tokens=True, later=later)
        assert is_whole(vault, url, wanted)
    backend = make_backend(url)
    backend.open()
    try:
        assert [row.status for row in contents(backend)[API_KEYS.name]] == ["revoked"]
    finally:
        backend.close()


def is_whole(vault: Vault, url: str, secrets: list[Any]) -> bool:
    """Whether an agent finds a vault there. It is the whole one, or there is none."""
    backend = make_backend(url)
    try:
        backend.open()
        if not backend.has_rows():
            return False
        require_whole(backend, vault.keyring)
        assert contents(backend)[SECRETS.name] == secrets
    except VaultError as error:
        if error.code != "store_incomplete":
            raise
        return False
    finally:
        backend.close()
    return True


class FullDirectory(LocalDirectory):
    """Has room for so many pieces."""

    def __init__(self, folder: Path, room: int) -> None:
        super().__init__(folder)
        self._left = itertools.count(room, -1)

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """As the other's, while there is room."""
        with super().create(name) as write:

            def bounded(data: bytes) -> None:
                if next(self._left) <= 0:
                    write(data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")
                write(data)

            yield bounded


@pytest.mark.parametrize("room", range(4))
def test_no_space_left(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """At each piece: an error that says so, and nothing that claims to be a backup."""
    folder = tmp_path / "backups"
    make = partial(FullDirectory, room=room)
    monkeypatch.setattr("tests.contract.backup.samples.LocalDirectory", make)
    with vault.opened():
        if room == 3:  # header, chunk, manifest
            back_up(vault, folder, "whole")
            require_valid(vault, folder, "whole")
            return
        with pytest.raises(UnavailableError) as caught:
            back_up(vault, folder, "cut")
    assert caught.value.code == "backup_unavailable"
    assert "No space left on device" in caught.value.message
    assert list_backups(LocalDirectory(folder)) == ([], [])
    assert not list(folder.glob(".*"))


async def test_cancelled(vault: Vault, tmp_path: Path) -> None:
    """The thread ends at its next report, the database is free, and there is no backup."""
    folder, begun = tmp_path / "backups", trio.Event()
    token = trio.lowlevel.current_trio_token()

    @contextmanager
    def progress(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        token.run_sync_soon(begun.set)
        yield lambda _: trio.from_thread.run(trio.sleep_forever)

    def work(reported: Progress) -> None:
        back_up(vault, folder, "cut", progress=reported)

    with vault.opened():
        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(1)
            nursery.start_soon(run_backup_work, SystemWorld(), limiter, work, progress)
            with trio.fail_after(30):
                await begun.wait()
            nursery.cancel_scope.cancel()
        assert list_backups(LocalDirectory(folder)) == ([], [])
        assert not list(folder.glob("*")) + list(folder.glob(".*"))
        with trio.fail_after(30):
            await run_backup_work(
                SystemWorld(),
                limiter,
                lambda reported: back_up(vault, folder, "whole", progress=reported),
                ignored,
            )
    require_valid(vault, folder, "whole")
