"""What a destination holds, by its manifests, verified by the vault's note key. Blocks.

Only verified manifests decide anything: what an incremental backup builds on, which backup is the
newest, what retention removes. The others are listed with what is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec

from protocols.instant import DAY, SECOND, parse_rfc3339
from vault.backup.destinations.interface import TOO_MANY, Destination
from vault.backup.format import (
    DATA,
    MAGIC,
    MANIFEST,
    MAX_HEADER,
    BaseRef,
    Manifest,
    decode_header,
    read_unverified_manifest,
    verify_manifest,
)
from vault.backup.keys import VaultKeys
from vault.backup.restore import read_manifest
from vault.backup.retention import KeptBackup
from vault.errors import NotFoundError, TamperedError, ValidationError, VaultError
from vault.model.backup_runs import StoredBackup

MAX_BACKUPS: Final = 20_000
"""Manifests of one destination that are looked at; there are 10,000 at most by retention."""
ABANDONED_AGE: Final = DAY
MAX_SHOWN: Final = 64
"""Characters of an id that nobody here has signed."""
_UUID7: Final = 7


class Entry(msgspec.Struct, frozen=True):
    """A manifest; None if the object is not one. `signed`: by this vault, under its own id.

    `fault`: why nothing relies on it, which for a signed one is that something is missing.
    """

    id: str
    manifest: Manifest | None
    signed: bool = False
    fault: str = ""

    @property
    def created(self) -> int:
        """In Unix nanoseconds; 0 if it cannot be read."""
        return 0 if self.manifest is None else parse_rfc3339(self.manifest.created, "created")

    @property
    def is_full(self) -> bool:
        """Whether it builds on no other."""
        return self.manifest is not None and self.manifest.base is None

    @property
    def kept(self) -> KeptBackup:
        """For retention; of a verified one."""
        if self.manifest is None:
            return KeptBackup(self.id, "", 0, 0)
        base = self.manifest.base
        return KeptBackup(
            self.id, "" if base is None else base.id, self.manifest.commits, self.created
        )

    def stored(self, destination: str) -> StoredBackup:
        """As it is shown."""
        found = self.manifest
        if found is None:
            return StoredBackup(id=self.id, destination=destination, fault=self.fault)
        return StoredBackup(
            id=self.id,
            destination=destination,
            created=self.created,
            kind="full" if found.base is None else "incremental",
            base="" if found.base is None else found.base.id,
            commits=found.commits,
            rows=found.records,
            bytes=found.size,
            fault=self.fault,
        )


@dataclass(frozen=True)
class Catalog:
    """What a destination holds. `entries` by id; `orphans`: ids of data without a manifest."""

    entries: dict[str, Entry] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()

    @property
    def verified(self) -> list[Entry]:
        """Those that can be relied on, in the order of the vault's commits."""
        found = [entry for entry in self.entries.values() if entry.signed and not entry.fault]
        return sorted(found, key=lambda entry: (entry.kept.commits, entry.created, entry.id))

    def newest(self, now: int, *, full: bool = False) -> Entry | None:
        """The newest that is not from the future: the clock may have been set back since.

        By its time, not by commits: those that a restore has given up may be more than there are
        since. `full`: the newest full one.
        """
        found = (
            entry for entry in self.verified if entry.created <= now and (not full or entry.is_full)
        )
        return max(found, key=lambda entry: (entry.created, entry.kept.commits), default=None)

    def with_backup(self, made: Manifest) -> "Catalog":
        """With one that was made just now."""
        entry = Entry(made.id, made, signed=True)
        return Catalog(self.entries | {made.id: entry}, self.orphans)

    def base(self, now: int, full_interval: int) -> Manifest | None:
        """What the next backup builds on; None: it is a full one."""
        newest, full = self.newest(now), self.newest(now, full=True)
        if newest is None or full is None or now - full.created >= full_interval:
            return None
        return newest.manifest

    def users(self, backup: str) -> list[str]:
        """The ids of the signed backups that build on this one, be they complete or not."""
        signed = [entry for entry in self.entries.values() if entry.signed]
        return sorted(entry.id for entry in signed if entry.kept.base == backup)

    @property
    def incomplete(self) -> list[Entry]:
        """Signed ones that lack something. They are left alone, and what they build on stays."""
        return [entry for entry in self.entries.values() if entry.signed and entry.fault]


def read_catalog(
    source: Destination, keys: VaultKeys, known: Catalog, *, most: int = MAX_BACKUPS
) -> Catalog:
    """The catalog as it is now. Manifests that are in `known` are not read again.

    Raises `UnavailableError` (`backup_unavailable`), `ValidationError` (`backups_too_many`).
    """
    try:
        names = set(source.names())
    except NotFoundError:
        return Catalog()
    ids = sorted(name.removesuffix(MANIFEST) for name in names if name.endswith(MANIFEST))
    if len(ids) > most:
        raise ValidationError(
            TOO_MANY,
            f"there are {len(ids)} manifests in {source.location}, at most {most} are looked at: "
            "move away those that are not this vault's. A backup can still be restored by its id",
        )
    read = dict(_read_entries(source, keys, known, ids))
    entries = {entry.id: _checked(entry, read, names) for entry in read.values()}
    data = {name.removesuffix(DATA) for name in names if name.endswith(DATA)}
    return Catalog(entries, tuple(sorted(data - set(ids))))


def is_abandoned(source: Destination, backup: str, keys: VaultKeys, now: int, seen: int) -> bool:
    """Whether data without a manifest is this vault's own, and older than a day.

    `seen`: since when this process has seen it. The id tells when it was begun, if it is of ours.
    """
    if now - min(_begun(backup, seen), seen) < ABANDONED_AGE:
        return False
    try:
        with source.open(backup + DATA) as file:
            encoded = file.read(len(MAGIC))
            if encoded != MAGIC:
                return False
            header = decode_header(encoded + file.readline(MAX_HEADER))
    except (TamperedError, NotFoundError):
        return False
    return (header.org, header.vault, header.id) == (keys.keyring.org, keys.keyring.vault, backup)


def _begun(backup: str, otherwise: int) -> int:
    """The time in an id that is a UUID version 7 (RFC 9562, section 5.7)."""
    try:
        found = UUID(backup)
    except ValueError:
        return otherwise
    return (found.int >> 80) * SECOND // 1000 if found.version == _UUID7 else otherwise


def _read_entries(
    source: Destination, keys: VaultKeys, known: Catalog, ids: list[str]
) -> Iterator[tuple[str, Entry]]:
    for backup in ids:
        before = known.entries.get(backup)
        if before is not None:
            yield backup, before
            continue
        try:
            yield backup, _read_entry(source, keys, backup)
        except NotFoundError:
            continue  # it was removed meanwhile
        except (TamperedError, ValidationError) as error:
            yield backup, Entry(backup, None, fault=error.message)


def _read_entry(source: Destination, keys: VaultKeys, backup: str) -> Entry:
    note = read_manifest(source, backup)
    manifest = read_unverified_manifest(note)
    vault = keys.keyring.vault
    if (manifest.org, manifest.vault) != (keys.keyring.org, vault):
        return Entry(backup, _shortened(manifest), fault="it is a backup of another vault")
    if manifest.id != backup:
        fault = f"the manifest is that of {manifest.id}"
        return Entry(backup, _shortened(manifest), fault=fault)
    try:
        verify_manifest(note, vault, keys.backup)
    except VaultError as error:
        return Entry(backup, _shortened(manifest), fault=f"unverified: {error.message}")
    return Entry(backup, manifest, signed=True)


def _shortened(manifest: Manifest) -> Manifest:
    """What is shown of one that nobody here has signed: it may have 4 MiB, and is kept."""
    base = manifest.base
    return msgspec.structs.replace(
        manifest,
        org=manifest.org[:MAX_SHOWN],
        vault=manifest.vault[:MAX_SHOWN],
        base=None if base is None else BaseRef(base.id[:MAX_SHOWN], base.digest),
        tables=(),
        checkpoints=(),
    )


def _checked(entry: Entry, entries: dict[str, Entry], names: set[str]) -> Entry:
    """The entry, with what is missing of it. Each names its base by a hash, so chains end."""
    below, fault = entry, ""
    while below.signed and below.manifest is not None and not fault:
        base = below.manifest.base
        if below.id + DATA not in names:
            fault = f"the data of {below.id} is missing"
        elif base is None:
            break
        else:
            found = entries.get(base.id)
            if found is None or found.manifest is None or found.manifest.reference != base:
                fault = f"{below.id} builds on {base.id}, which is missing"
            elif not found.signed:
                fault = f"{below.id} builds on {base.id}: {found.fault}"
            else:
                below = found
    return msgspec.structs.replace(entry, fault=fault) if entry.signed else entry
