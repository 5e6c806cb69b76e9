"""A backup of each kind of database restores into each: the rows of one commit, and no others."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import pytest

from tests.contract.backup.samples import back_up, fill, ignored, restore
from tests.contract.store.samples import put, remove, secret, token, version
from tests.support.databases import SERVERS, make_backend, shared_server
from tests.support.vaults import ROOT_KEY, Vault, contents, require_whole
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import Manifest
from vault.backup.keys import VaultKeys
from vault.backup.restore import KnownState, verify_backup
from vault.barrier import KEYRING_ROW
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, TamperedError, VaultError
from vault.model.restore import RESTORED_ROW, RestoreRecord
from vault.store.interface import StoreSession, WriteSet
from vault.store.sql import SqlBackend
from vault.store.table import StoreQuery
from vault.store.tables import (
    CHANGES,
    HEAD_ROW,
    NODES,
    SECRETS,
    SYSTEM,
    TOKENS,
    USAGE,
    VERSIONS,
)

KINDS: Final = ("sqlite", *SERVERS)
Make: TypeAlias = Callable[[str], str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes URLs of databases that are not there yet, or are empty."""
    number = itertools.count()

    def make_one(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(number)}.db"
        return shared_server(kind).empty()

    return make_one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where backups are kept; not there yet."""
    return tmp_path / "backups"


@pytest.fixture(params=KINDS)
def vault(request: pytest.FixtureRequest, make: Make) -> Iterator[Vault]:
    """An open one on each kind of database."""
    made = Vault(make(request.param))
    with made.opened():
        fill(made)
        yield made


@pytest.fixture
def in_file(make: Make) -> Iterator[Vault]:
    """An open one in a file."""
    made = Vault(make("sqlite"))
    with made.opened():
        fill(made)
        yield made


@contextmanager
def restored(url: str) -> Iterator[SqlBackend]:
    """The database, opened as an agent does."""
    backend = make_backend(url)
    backend.open()
    try:
        yield backend
    finally:
        backend.close()


def require_same(found: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> None:
    """The tables are the same, but for what a restore changes."""
    changed = {HEAD_ROW, KEYRING_ROW, RESTORED_ROW}
    for name, rows in wanted.items():
        if name == SYSTEM.name:
            assert [row for row in found[name] if row.name not in changed] == [
                row for row in rows if row.name not in changed
            ]
        elif name == NODES.name:
            assert [row.id for row in found[name]] == [row.id for row in rows]
        else:
            assert found[name] == rows, name


@pytest.mark.parametrize("kind", KINDS)
def test_everything_comes_back(vault: Vault, make: Make, folder: Path, kind: str) -> None:
    """From each kind of database to each; and the result is a vault at a later commit and epoch."""
    manifest = back_up(vault, folder)
    wanted = contents(vault.backend)
    assert manifest.commits == vault.commits
    assert manifest.records == sum(map(len, wanted.values()))
    url = make(kind)
    result = restore(vault, folder, manifest.id, make_backend(url), keep_tokens=True, reason="fire")
    assert (result.commits, result.epoch) == (vault.commits + 1, 2)
    with restored(url) as backend:
        found = contents(backend)
        system = {row.name: row.value for row in found[SYSTEM.name]}
        keyring = Keyring.decode(ROOT_KEY, system[KEYRING_ROW], org="org", vault="vault-1")
        stamp = require_whole(backend, keyring)
        with backend.read() as session:
            (entry,) = session.select(CHANGES, StoreQuery())
    require_same(found, wanted)
    assert keyring.epoch == stamp.epoch == 2
    assert (entry.seq, entry.chain) == (stamp.commits, stamp.feed) == (result.commits, stamp.feed)
    record = msgspec.json.decode(system[RESTORED_ROW], type=RestoreRecord)
    assert (record.backup, record.reason, record.tokens_kept) == (manifest.id, "fire", True)


def test_tokens_are_dropped_by_default(in_file: Vault, make: Make, folder: Path) -> None:
    """One that was revoked after the backup would be valid again; when it was used goes with it."""
    manifest = back_up(in_file, folder)
    url = make("sqlite")
    result = restore(in_file, folder, manifest.id, make_backend(url))
    assert result.tokens_dropped == 2
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)
        found = contents(backend)
    assert found[TOKENS.name] == []
    assert [row.credential_id for row in found[USAGE.name]] == ["key"]


def test_later_than_all_that_is_known(in_file: Vault, make: Make, folder: Path) -> None:
    """An anchor that has seen more than the backup has seen less than the restored vault."""
    manifest = back_up(in_file, folder)
    url = make("sqlite")
    result = restore(in_file, folder, manifest.id, make_backend(url), known=KnownState(5_000, 7))
    assert (result.commits, result.epoch) == (5_001, 8)
    with restored(url) as backend:
        assert require_whole(backend, in_file.keyring).commits == 5_001


def change_things(vault: Vault) -> None:
    """A row of each kind of change: new, changed, gone, gone and back, and a rotated keyring."""
    vault.commit(
        put(SECRETS, secret("secret/new"), secret("secret/0003", tags=["changed"])),
        put(VERSIONS, version("id-secret/new", 1)),
        remove(VERSIONS, "id-secret/0001", 1),
        remove(SECRETS, "secret/0001"),
    )
    vault.commit(remove(TOKENS, "id of accessor-1"), put(TOKENS, token("accessor-3")))
    vault.commit(remove(TOKENS, "id of accessor-3"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_incremental_backups(vault: Vault, make: Make, folder: Path, kind: str) -> None:
    """Each has what was changed since the one below; together they are the vault at the last."""
    full = back_up(vault, folder)
    change_things(vault)
    second = back_up(vault, folder, base=full)
    vault.commit(put(SECRETS, secret("secret/last")))
    third = back_up(vault, folder, base=second)
    wanted = contents(vault.backend)
    assert (second.depth, third.depth) == (1, 2)
    assert second.base is not None
    assert (second.base.id, second.base.digest) == (full.id, full.digest)
    assert third.records < second.records < 20
    url = make(kind)
    restore(vault, folder, third.id, make_backend(url), keep_tokens=True)
    with restored(url) as backend:
        require_whole(backend, vault.keyring)
        require_same(contents(backend), wanted)


def test_a_backup_in_the_middle_of_the_chain(in_file: Vault, make: Make, folder: Path) -> None:
    """It is the vault as it was then."""
    full = back_up(in_file, folder)
    change_things(in_file)
    second = back_up(in_file, folder, base=full)
    wanted = contents(in_file.backend)
    in_file.commit(put(SECRETS, secret("secret/last")))
    back_up(in_file, folder, base=second)
    url = make("sqlite")
    restore(in_file, folder, second.id, make_backend(url), keep_tokens=True)
    with restored(url) as backend:
        require_same(contents(backend), wanted)


def test_full_where_the_feed_does_not_tell(in_file: Vault, make: Make, folder: Path) -> None:
    """The entries since the base are gone, or the base is of another line of commits."""
    full = back_up(in_file, folder)
    other = msgspec.structs.replace(full, feed="00" * 32)
    assert back_up(in_file, folder, base=other).depth == 0
    older = msgspec.structs.replace(full, schema=full.schema - 1)
    assert back_up(in_file, folder, base=older).depth == 0
    in_file.backend.write(lambda _: WriteSet(deletes={CHANGES: [(full.commits,)]}))
    in_file.commit()
    assert back_up(in_file, folder, base=full).depth == 0


@pytest.mark.parametrize("missing", [1, 2])
def test_a_feed_that_was_changed_is_no_base(in_file: Vault, folder: Path, missing: int) -> None:
    """An entry that is missing, be it the last, would hide a change: there is no backup."""
    full = back_up(in_file, folder)
    in_file.commit(put(SECRETS, secret("secret/new")))
    in_file.commit()
    in_file.backend.write(lambda _: WriteSet(deletes={CHANGES: [(full.commits + missing,)]}))
    with pytest.raises(TamperedError) as caught:
        back_up(in_file, folder, "later", base=full)
    assert caught.value.code == "feed_damaged"
    assert not [file for file in folder.iterdir() if "later" in file.name]


def test_under_writes(vault: Vault, make: Make, folder: Path) -> None:
    """Commits go on meanwhile; what is in the backup is the state after one of them."""
    stop, began = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            vault.commit(
                put(SECRETS, secret(f"secret/under/{number}")),
                put(VERSIONS, version(f"id-secret/under/{number}", 1)),
            )
            began.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(30)
        manifests = [back_up(vault, folder)]
        for _ in range(3):
            manifests.append(back_up(vault, folder, base=manifests[-1]))
    finally:
        stop.set()
        writer.join()
    assert vault.commits > manifests[0].commits
    for manifest in manifests:
        verified = verify_backup(
            LocalDirectory(folder), manifest.id, VaultKeys(vault.keyring), progress=ignored
        )
        assert verified.manifest == manifest
    url = make("sqlite")
    restore(vault, folder, manifests[-1].id, make_backend(url))
    with restored(url) as backend:
        require_whole(backend, vault.keyring)


def test_rows_that_are_not_the_last_commits(vault: Vault, folder: Path) -> None:
    """A row that was removed, added or changed behind the agent's back is in no backup."""
    vault.backend.write(lambda _: WriteSet(deletes={VERSIONS: [("id-secret/0005", 1)]}))
    with pytest.raises(TamperedError) as caught:
        back_up(vault, folder)
    assert caught.value.code == "storage_rows_changed"
    assert "secret_versions" in caught.value.message
    assert list(folder.iterdir()) == []


def test_a_row_whose_column_was_changed(in_file: Vault, folder: Path) -> None:
    """Its MAC tells."""
    with in_file.backend.read() as session:
        row = session.get(SECRETS, ("secret/0005",))
    assert row is not None
    other = msgspec.structs.replace(row, tags=["other"])
    in_file.backend.write(lambda _: WriteSet(updates={SECRETS: [other]}))
    with pytest.raises(TamperedError) as caught:
        back_up(in_file, folder)
    assert caught.value.code == "row_tampered"
    assert list(folder.iterdir()) == []


def test_never_over_a_vault(in_file: Vault, vault: Vault, folder: Path) -> None:
    """A database that holds one is left as it is."""
    manifest = back_up(in_file, folder)
    before = contents(vault.backend)
    vault.backend.close()
    with pytest.raises(ConflictError) as caught:
        restore(in_file, folder, manifest.id, vault.backend)
    assert caught.value.code == "store_not_empty"
    with restored(vault.url) as backend:
        assert contents(backend) == before
    vault.backend.open()


class InterruptedRunError(Exception):
    """The end of a run."""


def interrupt_after(target: SqlBackend, writes: int) -> None:
    """Have it fail at its next write but so many."""
    write, left = target.write, itertools.count(writes, -1)

    def counted(apply: Callable[[StoreSession], WriteSet]) -> None:
        if next(left) == 0:
            raise InterruptedRunError
        write(apply)

    target.write = counted  # type: ignore[method-assign]  # this one alone is watched


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_at_each_write(in_file: Vault, make: Make, folder: Path, kind: str) -> None:
    """No agent opens it then, and the same command goes on; at the end all is there."""
    full = back_up(in_file, folder)
    in_file.commit(put(SECRETS, secret("secret/new")))
    manifest = back_up(in_file, folder, base=full)
    wanted, url = contents(in_file.backend), make(kind)
    for writes in itertools.count():
        target = make_backend(url)
        interrupt_after(target, min(writes, 2))
        try:
            restore(in_file, folder, manifest.id, target, most=30, keep_tokens=True)
            break
        except InterruptedRunError:
            if not writes:  # it is as it was: empty
                continue
            with pytest.raises(VaultError) as caught, restored(url):
                pass
            assert caught.value.code == "store_incomplete"
            assert "freehold backup restore" in caught.value.message
    assert writes > 5
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)
        require_same(contents(backend), wanted)


def test_another_backup_begins_anew(in_file: Vault, make: Make, folder: Path) -> None:
    """What another run has left is removed, whatever it was restored from."""
    first = back_up(in_file, folder)
    change_things(in_file)
    second, wanted = back_up(in_file, folder), contents(in_file.backend)
    url = make("sqlite")
    target = make_backend(url)
    interrupt_after(target, 3)
    with pytest.raises(InterruptedRunError):
        restore(in_file, folder, first.id, target, most=30)
    restore(in_file, folder, second.id, make_backend(url), most=30, keep_tokens=True)
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)
        require_same(contents(backend), wanted)


def test_who_else_writes_to_it_is_noticed(in_file: Vault, make: Make, folder: Path) -> None:
    """A row that is not the backup's: the run ends, no agent opens it, and the next begins anew."""
    manifest: Manifest = back_up(in_file, folder)
    url = make("sqlite")
    target = make_backend(url)
    write = target.write
    intruder = secret("secret/intruder")

    def intruding(apply: Callable[[StoreSession], WriteSet]) -> None:
        write(apply)
        if not written:
            written.append(1)
            return
        if len(written) == 1:
            written.append(2)
            write(lambda _: WriteSet(inserts={SECRETS: [intruder]}))

    written: list[int] = []
    target.write = intruding  # type: ignore[method-assign]  # this one alone
    with pytest.raises(TamperedError) as caught:
        restore(in_file, folder, manifest.id, target)
    assert caught.value.code == "store_copy_differs"
    with pytest.raises(VaultError) as refused, restored(url):
        pass
    assert refused.value.code == "store_incomplete"
    restore(in_file, folder, manifest.id, make_backend(url))
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)
