"""Remove backups, their certificates and abandoned data from a destination. Blocks."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from vault.backup.catalog import is_abandoned
from vault.backup.certificate import certificate_names, read_certificate, verify_certificate
from vault.backup.destinations.interface import Destination
from vault.backup.format import DATA, MANIFEST
from vault.backup.keys import VaultKeys
from vault.backup.retention import KeptBackup
from vault.errors import VaultError

log: Final = logging.getLogger("freehold.backup")


def remove_backup(source: Destination, backup: str, keys: VaultKeys) -> None:
    """The manifest first: without it there is no backup."""
    source.remove(backup + MANIFEST)
    source.remove(backup + DATA)
    _remove_stray_certificates(source, keys)


def clean_up(
    source: Destination,
    gone: list[KeptBackup],
    orphans: Mapping[str, int],
    keys: VaultKeys,
    now: int,
) -> int:
    """Remove these, and abandoned data; returns how many backups were removed.

    What is locked stays, with all that it builds on, and is tried again after the next backup.
    """
    stays, removed = set[str](), 0
    for each in gone:
        if each.id not in stays:
            try:
                source.remove(each.id + MANIFEST)
            except VaultError as error:
                log.info("backup %s stays for now: %s", each.id, error.message)
                stays.add(each.id)
            else:
                removed += 1
                with suppress(VaultError):  # abandoned data, which is removed later
                    source.remove(each.id + DATA)
        if each.id in stays and each.base:
            stays.add(each.base)
    for backup, seen in orphans.items():
        with suppress(VaultError):
            if is_abandoned(source, backup, keys, now, seen):
                source.remove(backup + DATA)
    _remove_stray_certificates(source, keys)
    return removed


def _remove_stray_certificates(source: Destination, keys: VaultKeys) -> None:
    """Remove the vault's own certificates of backups that are gone.

    What is locked, or is somebody else's, stays; the next removal tries again.
    """
    with suppress(VaultError):
        there = set(source.names())
        for name in certificate_names(source):
            if name.partition(".")[0] + MANIFEST in there:
                continue
            with suppress(VaultError):
                note = read_certificate(source, name)
                verify_certificate(note, keys.keyring.vault, keys.backup.note.public)
                source.remove(name)
