"""A part of a backup: some secrets, none at all, their values, and what would change."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.contract.backup.samples import back_up, ignored, restore
from tests.contract.store.samples import api_key, put, remove, secret, token, user, version
from tests.support.databases import SERVERS, make_backend, shared_server
from tests.support.vaults import ROOT_KEY, Vault, contents, require_whole
from tools import backup_verify
from vault.backup.choice import choose_backup, require_not_later
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.diff import BackupDiff, diff_backup
from vault.backup.format import SECRET_TABLES, Manifest, read_unverified_manifest, sign_manifest
from vault.backup.keys import VaultKeys
from vault.backup.recover import BackupSecret, read_backup_secrets
from vault.backup.restore import merged_rows, read_manifest, verify_backup
from vault.crypto.envelope import seal_value
from vault.crypto.keyring import Keyring
from vault.crypto.sealed_value import ValuePlace
from vault.errors import ConflictError, NotFoundError, TamperedError, ValidationError
from vault.model.records import ConsumerRow, DynamicLeaseRow, RotationRow, VersionRow
from vault.store.interface import WriteSet
from vault.store.sql import SqlBackend
from vault.store.tables import (
    ACCESS,
    API_KEYS,
    CONSUMERS,
    DYNAMIC_LEASES,
    ROTATIONS,
    SECRETS,
    TOKENS,
    USERS,
    VERSIONS,
)

KINDS = ("sqlite", *SERVERS)


@pytest.fixture(params=KINDS)
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    """An open one with secrets that can be opened, in each kind of database."""
    url = f"sqlite:///{tmp_path}/vault.db"
    if request.param != "sqlite":
        url = shared_server(request.param).empty()
    made = Vault(url)
    with made.opened():
        fill(made)
        yield made


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Vault]:
    """An open one in a file."""
    made = Vault(f"sqlite:///{tmp_path}/vault.db")
    with made.opened():
        fill(made)
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the backups."""
    return tmp_path / "backups"


def sealed(keyring: Keyring, name: str, number: int) -> VersionRow:
    """A version with a value: `"NAME NUMBER"`."""
    place = ValuePlace(keyring.org, keyring.vault, f"id-{name}", number, "value")
    value = seal_value(keyring.kek(keyring.active), place, f'"{name} {number}"'.encode())
    return version(
        f"id-{name}",
        number,
        wrapped_dek=value.dek.to_bytes(),
        box=value.box.to_bytes(),
        kek_generation=value.generation,
    )


def fill(vault: Vault) -> None:
    """Secrets in two folders, and somebody who reads them."""
    vault.create()
    vault.commit(
        put(USERS, user("ann"), user("bob")),
        put(API_KEYS, api_key("key", "ann")),
        put(TOKENS, token("accessor")),
    )
    for name in ("app", "app/a", "app/b", "apple", "other/c"):
        head = secret(name, current_version=2, oldest_version=1, status="active")
        vault.commit(
            put(SECRETS, head), put(VERSIONS, *(sealed(vault.keyring, name, n) for n in (1, 2)))
        )
    for name in ("app", "app/a", "app/b", "apple"):
        vault.commit(put(ROTATIONS, rotation(name)), put(CONSUMERS, consumer(name)))


def rotation(name: str) -> RotationRow:
    """One of a secret that is over."""
    return RotationRow(
        secret_id=f"id-{name}", number=1, path=name, state="undone", policy={}, cause="request",
        previous=1, next_at=0, began_at=1,
    )  # fmt: skip


def consumer(name: str) -> ConsumerRow:
    """Ann, who has fetched a secret."""
    return ConsumerRow(
        secret_id=f"id-{name}", consumer="key:key", identity="ann", name="ann", path=name,
        version=1, fetched_at=1,
    )  # fmt: skip


@contextmanager
def restored(url: str) -> Iterator[SqlBackend]:
    """The database, opened as an agent does."""
    backend = make_backend(url)
    backend.open()
    try:
        yield backend
    finally:
        backend.close()


def read(
    vault: Vault, folder: Path, backup: str, *paths: str, **more: Any
) -> dict[str, BackupSecret]:
    """The secrets of these names, by name."""
    keys = more.pop("keys", VaultKeys(vault.keyring))
    found = read_backup_secrets(
        LocalDirectory(folder), backup, keys, paths, progress=ignored, **more
    )
    return {one.secret.name: one for one in found}


def test_values(vault: Vault, folder: Path) -> None:
    """Of names and folders: the current version; nothing of its neighbours."""
    full = back_up(vault, folder)
    changed = sealed(vault.keyring, "app/b", 3)
    head = secret("app/b", current_version=3, oldest_version=1, status="active")
    vault.commit(put(VERSIONS, changed), put(SECRETS, head))
    made = back_up(vault, folder, base=full)
    found = read(vault, folder, made.id, "app/", "other/c")
    assert {name: one.value for name, one in found.items()} == {
        "app/a": b'"app/a 2"', "app/b": b'"app/b 3"', "other/c": b'"other/c 2"',
    }  # fmt: skip
    assert set(read(vault, folder, made.id, "app")) == {"app"}
    assert read(vault, folder, full.id, "app/b")["app/b"].value == b'"app/b 2"'
    hidden = read(vault, folder, full.id, "app/b", with_values=False)["app/b"]
    assert hidden.value == b""
    assert "2\"'" not in repr(found["app/a"])


def test_values_that_are_not_there(in_file: Vault, folder: Path) -> None:
    """Deleted, destroyed, without a version, or without their key: each says why."""
    row = sealed(in_file.keyring, "app/b", 2)
    in_file.commit(
        put(SECRETS, secret("app/a", current_version=2, oldest_version=1, status="deleted")),
        put(SECRETS, secret("app/b", current_version=2, oldest_version=1, status="destroyed")),
        put(VERSIONS, replace(row, destroyed=True, wrapped_dek=b"", box=b"")),
        put(SECRETS, secret("app/empty")),
    )
    made = back_up(in_file, folder)
    found = read(in_file, folder, made.id, "app/")
    assert {name: (one.value, one.problem) for name, one in found.items()} == {
        "app/a": (None, "its current version was deleted"),
        "app/b": (None, "its current version was destroyed"),
        "app/empty": (None, "it had no version"),
    }


def test_an_older_key(in_file: Vault, folder: Path) -> None:
    """The keyring of later opens them, too, until the key is retired: then that is said."""
    made = back_up(in_file, folder)
    rotated = in_file.keyring.rotate(2)
    assert read(in_file, folder, made.id, "app", keys=VaultKeys(rotated))["app"].value
    retired = VaultKeys(rotated.retire(1))
    found = read(in_file, folder, made.id, "app", keys=retired)["app"]
    assert found.value is None
    assert "retired" in found.problem


def test_values_of_a_row_that_was_exchanged(in_file: Vault, folder: Path) -> None:
    """A backup that holds another's value under its name is refused before anything is opened."""
    made = back_up(in_file, folder)
    data = folder / f"{made.id}.backup"
    changed = bytearray(data.read_bytes())
    changed[-1] ^= 1
    data.write_bytes(changed)
    with pytest.raises(TamperedError):
        read(in_file, folder, made.id, "app")


def test_names_that_are_not_there(in_file: Vault, folder: Path) -> None:
    """Nothing is opened; ids that lead out of the folder are none."""
    made = back_up(in_file, folder)
    with pytest.raises(NotFoundError, match="app/none"):
        read(in_file, folder, made.id, "app/a", "app/none")
    with pytest.raises(ValidationError):
        read(in_file, folder, f"../backups/{made.id}", "app/a")
    other = Vault(f"sqlite:///{folder.parent}/other.db")
    with pytest.raises(TamperedError):
        read(other, folder, made.id, "app/a")


@pytest.mark.parametrize("kind", KINDS)
def test_only_some(in_file: Vault, folder: Path, tmp_path: Path, kind: str) -> None:
    """A whole vault with these secrets, and everything else as it was."""
    made = back_up(in_file, folder)
    url = f"sqlite:///{tmp_path}/new.db" if kind == "sqlite" else shared_server(kind).empty()
    restore(in_file, folder, made.id, make_backend(url), only=("app/", "apple"), keep_tokens=True)
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)
        rows = contents(backend)
    assert [row.name for row in rows[SECRETS.name]] == ["app/a", "app/b", "apple"]
    for table in (VERSIONS, ROTATIONS, CONSUMERS):
        assert {row.secret_id for row in rows[table.name]} == {"id-app/a", "id-app/b", "id-apple"}
    wanted = contents(in_file.backend)
    for table in (USERS, API_KEYS, TOKENS):
        assert rows[table.name] == wanted[table.name]


def test_only_what_is_not_there(in_file: Vault, folder: Path, tmp_path: Path) -> None:
    """The database is left as it was."""
    made = back_up(in_file, folder)
    target = make_backend(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(NotFoundError, match="ends with a slash"):
        restore(in_file, folder, made.id, target, only=("app/none",))
    with pytest.raises(NotFoundError, match="name of app/none, café/: a"):
        restore(in_file, folder, made.id, target, only=("café/", "app/", "apple", "app/none"))
    assert not (tmp_path / "new.db").exists()


def test_without_secrets(vault: Vault, folder: Path, tmp_path: Path) -> None:
    """Full and incremental, verified with and without the program, restored to a whole vault."""
    full = back_up(vault, folder, include_secrets=False)
    vault.commit(
        put(SECRETS, secret("new")), put(USERS, user("eve")), remove(USERS, "bob"),
        remove(ACCESS, "none"),
    )  # fmt: skip
    made = back_up(vault, folder, base=full, include_secrets=False)
    assert (made.depth, made.excluded) == (1, SECRET_TABLES)
    assert {one.table for one in made.tables} <= {"users", "system", "nodes"}
    keys = VaultKeys(vault.keyring)
    verify_backup(LocalDirectory(folder), made.id, keys, progress=ignored)
    for one in (full, made):
        done = backup_verify.verify(folder / f"{one.id}.manifest", root_key=ROOT_KEY)
        assert done == f"signature, chunks, {one.records} records"
    assert b"app/a" not in (folder / f"{full.id}.manifest").read_bytes()
    url = f"sqlite:///{tmp_path}/new.db"
    restore(vault, folder, made.id, make_backend(url), keep_tokens=True)
    with restored(url) as backend:
        require_whole(backend, vault.keyring)
        rows = contents(backend)
    for table in (SECRETS, VERSIONS, ACCESS, ROTATIONS, CONSUMERS):
        assert rows[table.name] == []
    assert [row.id for row in rows[USERS.name]] == ["ann", "eve"]


def test_without_secrets_and_with_them(in_file: Vault, folder: Path) -> None:
    """One builds on the other never: it would have half of the secrets."""
    without = back_up(in_file, folder, include_secrets=False)
    assert back_up(in_file, folder, base=without).depth == 0
    whole = back_up(in_file, folder)
    assert back_up(in_file, folder, base=whole, include_secrets=False).depth == 0
    with pytest.raises(ConflictError) as caught:
        read(in_file, folder, without.id, "app")
    assert caught.value.code == "backup_without_secrets"


def test_rows_that_were_removed_are_noticed_without_secrets(in_file: Vault, folder: Path) -> None:
    """The totals of the tables that it has are those of the commit."""
    in_file.backend.write(lambda _: WriteSet(deletes={USERS: [("bob",)]}))
    with pytest.raises(TamperedError, match="users"):
        back_up(in_file, folder, include_secrets=False)


def test_stored_without_compression(in_file: Vault, folder: Path, tmp_path: Path) -> None:
    """The format is the same; what would compress does not."""
    for number in range(50):
        in_file.commit(put(SECRETS, secret(f"many/{number:03}", metadata={"a": "b" * 100})))
    small = back_up(in_file, folder)
    large = back_up(in_file, folder, compress=False)
    assert large.content == small.content
    assert small.size < large.size / 2
    assert large.size > large.content * 0.7
    backup_verify.verify(folder / f"{large.id}.manifest", root_key=ROOT_KEY)
    url = f"sqlite:///{tmp_path}/new.db"
    restore(in_file, folder, large.id, make_backend(url), keep_tokens=True)
    with restored(url) as backend:
        require_whole(backend, in_file.keyring)


def compare(vault: Vault, folder: Path, backup: str, **more: Any) -> BackupDiff:
    """The backup, all of it, with the vault as it is now."""
    source, keys = LocalDirectory(folder), VaultKeys(vault.keyring)
    manifests = verify_backup(source, backup, keys, progress=ignored).manifests
    with (
        vault.backend.read() as session,
        merged_rows(source, manifests, keys, None) as entries,
    ):
        session.inspect()
        return diff_backup(entries, session, more.pop("id_", "vault-1"), **more)


def test_differences(vault: Vault, folder: Path) -> None:
    """In both directions, by name; nothing that is the same."""
    made = back_up(vault, folder)
    assert compare(vault, folder, made.id) == BackupDiff({}, [])
    vault.commit(
        put(SECRETS, secret("app/a", current_version=3, oldest_version=1, status="active")),
        put(SECRETS, secret("new"), secret("a")),
        *(remove(VERSIONS, "id-other/c", number) for number in (1, 2)),
        remove(SECRETS, "other/c"),
        put(USERS, user("ann", status="disabled"), user("zoe")),
    )
    found = compare(vault, folder, made.id)
    assert [(each.name, each.change, each.backup, each.database) for each in found.differences] == [
        ("a", "only_in_database", "", "version 0, empty"),
        ("app/a", "differs", "version 2, active", "version 3, active"),
        ("new", "only_in_database", "", "version 0, empty"),
        ("other/c", "only_in_backup", "version 2, active", ""),
        ("ann", "differs", "active", "disabled"),
        ("zoe", "only_in_database", "", "active"),
    ]
    assert not found.is_cut
    cut = compare(vault, folder, made.id, limit=2)
    assert (cut.counts, len(cut.differences), cut.is_cut) == (found.counts, 2, True)
    with pytest.raises(ConflictError) as caught:
        compare(vault, folder, made.id, id_="vault-2")
    assert caught.value.code == "other_vault"


def manifest(vault: Vault, folder: Path, backup: str, created: str, commits: int) -> Manifest:
    """A manifest as it would have been at another time."""
    made = back_up(vault, folder, backup)
    note = read_manifest(LocalDirectory(folder), made.id)
    return replace(read_unverified_manifest(note), created=created, commits=commits)


def test_choice(in_file: Vault, folder: Path) -> None:
    """By id, the latest, at a time; and the next one behind it."""
    first = manifest(in_file, folder, "first", "2026-11-01T00:00:00Z", 10)
    second = manifest(in_file, folder, "second", "2026-11-02T00:00:00.5Z", 20)
    third = manifest(in_file, folder, "third", "2026-11-03T00:00:00Z", 20)
    other = replace(first, id="other", vault="vault-2", created="2026-12-01T00:00:00Z")
    found = [third, first, second]
    hour = 1_793_491_200 * 10**9  # 2026-11-01T00:00:00Z
    day = 86_400 * 10**9
    assert choose_backup(found, "first") == (first, second)
    assert choose_backup(found, "latest") == (third, None)
    assert choose_backup(found, "latest", at=hour) == (first, second)
    assert choose_backup(found, "latest", at=hour + day) == (first, second)
    assert choose_backup(found, "latest", at=hour + day + 10**9) == (second, None)
    with pytest.raises(NotFoundError, match="2026-10-31"):
        choose_backup(found, "latest", at=hour - 1)
    with pytest.raises(NotFoundError):
        choose_backup([], "latest")
    with pytest.raises(NotFoundError):
        choose_backup(found, "none")
    with pytest.raises(ValidationError):
        choose_backup(found, "first", at=hour)
    with pytest.raises(ConflictError, match="--vault"):
        choose_backup([*found, other], "latest")
    assert choose_backup([*found, other], "latest", vault="vault-2").manifest == other
    require_not_later(hour, 0)
    require_not_later(hour, hour)
    with pytest.raises(ConflictError, match="earlier time"):
        require_not_later(hour + 1, hour)


def signed(vault: Vault, folder: Path, manifest_: Manifest) -> None:
    """Put this manifest, with a signature of the vault, in the place of its own."""
    note = sign_manifest(manifest_, VaultKeys(vault.keyring).backup)
    (folder / f"{manifest_.id}.manifest").write_bytes(note)


@pytest.mark.parametrize(
    "excluded", [(), ("users",), ("secrets",), (*SECRET_TABLES, "users"), SECRET_TABLES[::-1]]
)
def test_other_tables_that_are_left_out(
    in_file: Vault, folder: Path, excluded: tuple[str, ...]
) -> None:
    """There is one form; even the vault's own signature makes no other."""
    made = back_up(in_file, folder, include_secrets=False)
    signed(in_file, folder, replace(made, excluded=excluded))
    with pytest.raises(TamperedError, match="not of format 1"):
        verify_backup(LocalDirectory(folder), made.id, VaultKeys(in_file.keyring), progress=ignored)


def test_what_is_left_out_is_the_same_everywhere(in_file: Vault, folder: Path) -> None:
    """In the manifest, in the header, in the tables, and in the base."""
    source, keys = LocalDirectory(folder), VaultKeys(in_file.keyring)
    whole = back_up(in_file, folder)
    signed(in_file, folder, replace(whole, excluded=SECRET_TABLES))
    with pytest.raises(TamperedError, match="not of format 1"):  # it counts secrets
        verify_backup(source, whole.id, keys, progress=ignored)
    without = back_up(in_file, folder, include_secrets=False)
    signed(in_file, folder, replace(without, excluded=UNSET))
    with pytest.raises(TamperedError, match="of another backup"):
        verify_backup(source, without.id, keys, progress=ignored)
    signed(in_file, folder, without)
    later = back_up(in_file, folder, base=without, include_secrets=False)
    base = replace(without, excluded=UNSET)
    signed(in_file, folder, base)
    signed(in_file, folder, replace(later, base=base.reference))
    with pytest.raises(TamperedError, match="other tables"):
        verify_backup(source, later.id, keys, progress=ignored)


def test_a_manifest_of_before(in_file: Vault, folder: Path) -> None:
    """One with all tables has no such field, so an older program reads it."""
    made = back_up(in_file, folder)
    assert b"excluded" not in (folder / f"{made.id}.manifest").read_bytes()
    assert b'"excluded"' not in (folder / f"{made.id}.backup").read_bytes()


@pytest.mark.parametrize("kept", [False, True], ids=["without tokens", "with tokens"])
def test_leases_end_unless_tokens_are_kept(
    vault: Vault, folder: Path, tmp_path: Path, kept: bool
) -> None:
    """Their users are dropped by whoever opens the vault next; those that have ended stay so."""
    rows = {name: lease(name, state) for name, state in LEASES.items()}
    vault.commit(put(DYNAMIC_LEASES, *rows.values()))
    made = back_up(vault, folder)
    url = f"sqlite:///{tmp_path}/restored.db"
    restore(vault, folder, made.id, make_backend(url), keep_tokens=kept)
    with restored(url) as backend:
        require_whole(backend, vault.keyring)
        found = {row.username: row for row in contents(backend)[DYNAMIC_LEASES.name]}
    states = {name: (row.state, row.parent) for name, row in found.items()}
    if kept:
        assert states == {name: (row.state, "token") for name, row in rows.items()}
    else:
        assert states == {
            "creating": ("revoking", ""),
            "active": ("revoking", ""),
            "irrevocable": ("irrevocable", "token"),
            "revoked": ("revoked", "token"),
        }
        assert 0 < found["active"].next_at <= rows["active"].issued_at


LEASES = {name: name for name in ("creating", "active", "irrevocable", "revoked")}


def lease(name: str, state: str) -> DynamicLeaseRow:
    """One in this state."""
    return DynamicLeaseRow(
        id=f"database/creds/app/{name}", state=state, username=name, kind="postgresql",
        connection="database/config/main", config={"roles": ["app"]}, parent="token",
        owner="accessor", owner_name="ann", client="ann", ttl=60, issued_at=1_000, expires_at=2_000,
        max_expires_at=3_000, next_at=2_000,
    )  # fmt: skip
