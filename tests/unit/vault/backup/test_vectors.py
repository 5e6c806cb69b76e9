"""Backups that an earlier release has made are restored by this one.

`tests/vectors/backup` was made at schema 8: `full`, and `next`, in which a secret is new and
another one gone. The root key is `tests.support.vaults.ROOT_KEY`.
"""

from pathlib import Path

import pytest

from tests.support.databases import make_backend
from tests.support.vaults import ROOT_KEY, contents, require_whole
from tests.unit.vault.backup.conftest import ignored
from tools import backup_verify
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.keys import open_keyring
from vault.backup.restore import read_backup_header, restore_backup
from vault.store.tables import SECRETS, VERSIONS

ROOTS = {
    "full": "0384cf9b7126484849071acebf6900d0c1cd4a7237cd8b5255ea8bf038afcf9a",
    "next": "d798794f4aec783d9f7b2e3efe24e309559b62c616a3db381b967119bf67179f",
}
NAMES = {
    "full": ["secret/0000", "secret/0001", "secret/0002"],
    "next": ["secret/0000", "secret/0002", "secret/new"],
}


@pytest.fixture
def vectors(root: Path) -> Path:
    """The folder."""
    return root / "tests" / "vectors" / "backup"


@pytest.mark.parametrize("backup", ["full", "next"])
def test_restored(vectors: Path, tmp_path: Path, backup: str) -> None:
    """To the same rows."""
    source, url = LocalDirectory(vectors), f"sqlite:///{tmp_path}/vault.db"
    keys = open_keyring(read_backup_header(source, backup), ROOT_KEY)
    result = restore_backup(
        source,
        backup,
        make_backend(url),
        keys,
        root_key=ROOT_KEY,
        now=1,
        progress=ignored,
        keep_tokens=True,
    )
    assert result.root == ROOTS[backup]
    backend = make_backend(url)
    backend.open()
    try:
        require_whole(backend, keys.keyring)
        found = contents(backend)
    finally:
        backend.close()
    assert [row.name for row in found[SECRETS.name]] == NAMES[backup]
    assert [row.secret_id for row in found[VERSIONS.name]] == [
        f"id-{name}" for name in NAMES[backup] if "new" not in name
    ]


@pytest.mark.parametrize("backup", ["full", "next"])
def test_verified_without_the_program(vectors: Path, backup: str) -> None:
    """By the root key."""
    done = backup_verify.verify(vectors / f"{backup}.manifest", root_key=ROOT_KEY)
    assert done.startswith("signature, chunks, ")
