"""Secrets out of a backup, one by one, in the clear: for a vault that is in use. Blocks.

The key handling is here alone: the root key's keyring, as it was when the backup was made, opens
the backup and each value. What is read here is written by the vault's normal way, as new versions.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from vault.backup.destinations.interface import Destination
from vault.backup.keys import VaultKeys
from vault.backup.restore import (
    VerifiedBackup,
    merged_rows,
    verify_backup,
    without_secrets,
)
from vault.barrier import open_stored_value
from vault.crypto.backup_keys import Identity
from vault.errors import NotFoundError, ValidationError, VaultError
from vault.model.records import RecordStatus, SecretRow, VersionRow
from vault.store.bulk import Progress
from vault.store.row_guard import check_row

MAX_SECRETS: Final = 10_000
"""Secrets of one call: their heads are held in memory."""
_STEP: Final = 1_000  # rows between two reports of progress


class BackupSecret(NamedTuple):
    """A secret as it was when the backup was made, with the value of its current version.

    `value` is JSON text; None: `problem` says why it has none.
    """

    secret: SecretRow
    value: bytes | None
    problem: str = ""

    def __repr__(self) -> str:
        return f"BackupSecret({self.secret.name!r}, version {self.secret.current_version})"


def read_backup_secrets(
    source: Destination,
    backup: str,
    keys: VaultKeys,
    paths: Iterable[str],
    *,
    progress: Progress,
    identity: Identity | None = None,
    verified: VerifiedBackup | None = None,
    with_values: bool = True,
    choose: Callable[[SecretRow], bool] = lambda _: True,
    missing: set[str] | None = None,
) -> Iterator[BackupSecret]:
    """The secrets of these names, and those in the folders among them, which end with a slash.

    `choose`: of these alone, as if the backup had no others. `missing`: is given the names of which
    there is none; without it they are an error.

    `keys` are of the backup's own keyring (`vault.backup.keys.open_keyring`). The whole backup is
    verified before the first secret is returned; `verified`: it has been. One value is in memory at
    a time. They come in no particular order. Without `with_values` no value is opened.

    Raises as `verify_backup`; `NotFoundError` (`backup_secret_missing`) for a name that is not in
    the backup, `ConflictError` (`backup_without_secrets`), `ValidationError` (`too_many_secrets`).
    """
    chosen = frozenset(paths)
    if verified is None:
        verified = verify_backup(source, backup, keys, identity=identity, progress=progress)
    if verified.manifest.excluded:
        raise without_secrets(backup)
    waiting: dict[str, SecretRow] = {}
    left = set(chosen)
    is_complete = False  # all heads were read
    with (
        merged_rows(source, verified.manifests, keys, identity) as entries,
        progress("Reading secrets", verified.rows) as advance,
    ):
        for count, entry in enumerate(entries, 1):
            if count % _STEP == 0:
                advance(_STEP)
            row = entry.row
            if isinstance(row, SecretRow):
                names = _names_of(row.name, chosen)
                if not names or not choose(row):
                    continue
                if len(waiting) == MAX_SECRETS:
                    raise ValidationError(
                        "too_many_secrets",
                        f"more than {MAX_SECRETS} secrets have these names: take a smaller folder",
                    )
                waiting[row.id] = check_row(keys.guard, entry.table, row)
                left -= names
                continue
            if isinstance(row, VersionRow) and not is_complete:
                _require_found(left, missing)  # before the first value is opened
                is_complete = True
            if isinstance(row, VersionRow) and row.secret_id in waiting:
                head = waiting[row.secret_id]
                if row.version == head.current_version:
                    del waiting[row.secret_id]
                    check_row(keys.guard, entry.table, row)
                    yield _opened(head, row, keys, with_values=with_values)
    _require_found(left, missing)
    for head in waiting.values():
        yield BackupSecret(head, None, "it had no version")


def _names_of(name: str, chosen: frozenset[str]) -> set[str]:
    """Those of the chosen names that a secret is, or is in."""
    folders = (name[: end + 1] for end, char in enumerate(name) if char == "/")
    return {one for one in (name, *folders) if one in chosen}


def _require_found(missing: set[str], told: set[str] | None) -> None:
    if told is not None:
        told |= missing
    elif missing:
        raise NotFoundError(
            "backup_secret_missing",
            f"the backup has no secret by the name of {', '.join(sorted(missing))}: a folder's "
            "name ends with a slash",
        )


def _opened(
    head: SecretRow, version: VersionRow, keys: VaultKeys, *, with_values: bool
) -> BackupSecret:
    if version.destroyed or head.status != RecordStatus.ACTIVE:
        state = "destroyed" if version.destroyed else head.status
        return BackupSecret(head, None, f"its current version was {state}")
    if not with_values:
        return BackupSecret(head, b"")
    try:
        return BackupSecret(head, open_stored_value(keys.keyring, version))
    except VaultError as error:
        return BackupSecret(head, None, error.message)
