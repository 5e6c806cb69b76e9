"""A vault with something of each kind, and ways to back it up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.contract.store.samples import api_key, put, secret, token, user, version
from tests.support.vaults import ROOT_KEY, Vault
from vault.backup.create import create_backup
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import Manifest
from vault.backup.keys import VaultKeys
from vault.backup.restore import RestoreResult, restore_backup
from vault.model.records import BlockRow, NodeRow, UsageRow
from vault.store.sql import SqlBackend
from vault.store.tables import (
    API_KEYS,
    AUDIT,
    NODES,
    SECRETS,
    TOKENS,
    USAGE,
    USERS,
    VERSIONS,
)

CREATED = "2027-01-15T08:00:00Z"
NOW = 1_800_000_100 * 10**9
SECRETS_MADE = 100
_numbers = count(1)


@contextmanager
def ignored(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Nobody looks at how far it is."""
    yield lambda _: None


def fill(vault: Vault, secrets: int = SECRETS_MADE) -> None:
    """Make the vault, in several commits."""
    vault.create()
    vault.commit(
        put(NODES, NodeRow(id="0123456789abcdef", name="machine", place="/log")),
        put(USERS, user("ann")),
        put(API_KEYS, api_key("key", "ann")),
        put(TOKENS, token("accessor-1"), token("accessor-2")),
        put(USAGE, UsageRow(credential_id="accessor-1", uses=3), UsageRow(credential_id="key")),
        put(AUDIT, block(1)),
    )
    for number in range(secrets):
        name = f"secret/{number:04}"
        value = number.to_bytes(2) * 150
        vault.commit(put(SECRETS, secret(name)), put(VERSIONS, version(f"id-{name}", 1, box=value)))


def block(first: int) -> BlockRow:
    """A row of the audit log's index."""
    return BlockRow(
        log="log", first=first, last=first, prev="", segment=0, start=0, began=0, ended=0, terms=b""
    )


def back_up(
    vault: Vault,
    folder: Path,
    backup: str = "",
    base: Manifest | None = None,
    created: str = CREATED,
    **more: Any,
) -> Manifest:
    """A backup of the open vault."""
    return create_backup(
        vault.backend,
        LocalDirectory(folder),
        VaultKeys(vault.keyring),
        backup=backup or f"b{next(_numbers)}",
        created=created,
        progress=more.pop("progress", ignored),
        base=base,
        **more,
    )


def restore(
    vault: Vault, folder: Path, backup: str, target: SqlBackend, **more: Any
) -> RestoreResult:
    """Into the closed backend."""
    return restore_backup(
        LocalDirectory(folder),
        backup,
        target,
        VaultKeys(vault.keyring),
        root_key=ROOT_KEY,
        now=NOW,
        progress=more.pop("progress", ignored),
        **more,
    )
