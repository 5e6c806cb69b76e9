"""What a backup consists of, format 1 (docs/spec/backup.md): its header, its manifest, its names.

A backup is two objects. The data object is the header and the sealed chunks; the manifest is
written when that is durable. Without a manifest there is no backup.
"""

import re
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from protocols import json_text
from protocols.instant import parse_rfc3339
from protocols.signed_note import note_text, sign_note, verifier_key, verify_note
from vault.crypto.backup_keys import BackupKeys, KeyWrap
from vault.crypto.digest import DIGEST_SIZE, sha256
from vault.crypto.note_signing import is_note_signature_valid
from vault.errors import TamperedError, UnavailableError, ValidationError, VaultError
from vault.store.bulk import ORDER
from vault.store.table import ROW_BYTES
from vault.store.tables import ACCESS, CHANGES, CONSUMERS, ROTATIONS, SECRETS, VERSIONS

FORMAT: Final = 1
MAGIC: Final = b"freehold-backup-v1\n"
DATA: Final = ".backup"
MANIFEST: Final = ".manifest"
MAX_HEADER: Final = 4 * 2**20  # a keyring of all 65,535 generations has 2.7 MB, in base64 3.6 MB
MAX_MANIFEST: Final = 4 * 2**20  # a checkpoint of a node is 0.4 KiB
MAX_RECORD: Final = ROW_BYTES + 1024
MAX_CHAIN: Final = 64
"""Backups that build on each other: a restore has all of them open at once."""
MAX_WRAPS: Final = 16
MEMORY_SHORT: Final = "backup_memory"

OLDEST_SCHEMA: Final = 8
"""The migration of the oldest backups that can be restored. One that only adds tables, or columns
that may be unset, leaves it as it is: such rows are read as they are from an older database."""

TABLES: Final = tuple(table for table in ORDER if table is not CHANGES)
"""What is in a backup, in this order. The change feed is not: nobody follows a restored database
from before it was restored."""

_FORMER_SECRET_TABLES: Final = (SECRETS.name, VERSIONS.name, ACCESS.name)
SECRET_TABLES: Final = (*_FORMER_SECRET_TABLES, ROTATIONS.name, CONSUMERS.name)
"""What is left out of a backup without secrets."""

_ORIGIN: Final = "freehold.backup/"
_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * DIGEST_SIZE}}}")

S = TypeVar("S", bound=Struct)


class BaseRef(Struct, frozen=True, forbid_unknown_fields=True):
    """The backup that an incremental one builds on, and the SHA-256 of its manifest's text."""

    id: str
    digest: str


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning of the data object. `keyring` is the stored row: sealed by the root key.

    `seal` says how the root key is kept, as the vault's own row does. `excluded` is as in the
    manifest.
    """

    format: int = FORMAT
    org: str
    vault: str
    id: str
    base: BaseRef | None = None
    keyring: bytes
    seal: bytes
    keys: tuple[KeyWrap, ...]
    excluded: tuple[str, ...] | UnsetType = UNSET


class TableCount(Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows of a table the backup has, and how many keys whose rows were removed."""

    table: str
    rows: int
    removed: int = 0


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. `commits`, `feed` and `epoch` are those of the snapshot's commit stamp.

    `header` is the SHA-256 of the header, `size` the bytes of the data object, `content` those of
    its records; `records` and `row_root` are the size and root of the Merkle tree over the records,
    `chunks` and `chunk_root` over the sealed chunks. `depth` counts the backups below this one.
    `checkpoints` are the signed heads of the nodes' audit logs that the database knew of. `schema`
    is the last migration. `excluded` are the tables that were left out, `SECRET_TABLES` if any: a
    reader that knows no such field refuses the manifest.
    """

    format: int = FORMAT
    org: str
    vault: str
    id: str
    base: BaseRef | None = None
    depth: int = 0
    created: str
    commits: int
    feed: str
    epoch: int
    schema: int
    header: str
    size: int
    chunks: int
    chunk_root: str
    content: int
    records: int
    row_root: str
    tables: tuple[TableCount, ...]
    checkpoints: tuple[str, ...] = ()
    excluded: tuple[str, ...] | UnsetType = UNSET

    @property
    def digest(self) -> str:
        """The SHA-256 of the signed text, by which an incremental backup names its base."""
        return sha256(manifest_text(self)).hex()

    @property
    def reference(self) -> BaseRef:
        """As the base of another one."""
        return BaseRef(self.id, self.digest)


def damaged(what: str) -> TamperedError:
    """The error for a backup that is not as it was written."""
    return TamperedError(
        "backup_damaged", f"{what}. Nothing was restored: use another copy of it, or another backup"
    )


def memory_short(backup: str) -> UnavailableError:
    """The error for a process that has too little memory to read a backup."""
    return UnavailableError(
        MEMORY_SHORT,
        f"there is too little memory to read backup {backup}, so it was not checked: give the "
        "process about 64 MiB more, and try again",
    )


def require_id(backup: str) -> str:
    """The id, which names the objects of the backup. Raises `ValidationError`."""
    if not _ID.fullmatch(backup):
        raise ValidationError(
            "backup_id_invalid",
            "the id of a backup has up to 64 letters, digits and hyphens: see "
            "`freehold backup list`",
            field="id",
        )
    return backup


def encode_header(header: Header) -> bytes:
    """The first bytes of the data object: magic line and a line of JSON."""
    encoded = MAGIC + msgspec.json.encode(header) + b"\n"
    if len(encoded) > MAX_HEADER:
        raise ValidationError("backup_too_large", f"the header has more than {MAX_HEADER} bytes")
    return encoded


def decode_header(encoded: bytes) -> Header:
    """The inverse of `encode_header`. Raises `TamperedError`."""
    header = _decoded(encoded.removeprefix(MAGIC), Header, "header")
    if not encoded.startswith(MAGIC) or not 1 <= len(header.keys) <= MAX_WRAPS:
        raise damaged("the data object does not begin with a header of format 1")
    return header


def wrap_context(header: Header) -> bytes:
    """What the file key is bound to beside the keys themselves: the vault and the backup."""
    return f"{header.org}\n{header.vault}\n{header.id}".encode()


def origin_of(vault: str) -> str:
    """The first line of the vault's manifests, and the name of the key that signs them."""
    return f"{_ORIGIN}{vault}"


def manifest_text(manifest: Manifest) -> bytes:
    """The text of the note: the origin, and a line of JSON."""
    body = msgspec.json.encode(manifest)
    return f"{origin_of(manifest.vault)}\n".encode() + body + b"\n"


def sign_manifest(manifest: Manifest, keys: BackupKeys) -> bytes:
    """The manifest object. Raises `ValidationError` (`backup_too_large`)."""
    note = sign_note(
        manifest_text(manifest),
        origin_of(manifest.vault),
        keys.note.public,
        keys.note.sign,
        sha256,
    ).encode()
    if len(note) > MAX_MANIFEST:
        raise ValidationError(
            "backup_too_large", f"the manifest has more than {MAX_MANIFEST} bytes"
        )
    return note


def read_unverified_manifest(note: bytes) -> Manifest:
    """What a manifest says, to somebody without keys. Raises `TamperedError`."""
    try:
        text = note_text(note.decode())
    except ValueError:
        raise damaged("the manifest is not a signed note") from None
    origin, _, body = text.partition(b"\n")
    manifest = _decoded(body, Manifest, "manifest")
    if origin.decode() != origin_of(manifest.vault) or text != manifest_text(manifest):
        raise damaged("the manifest is not of format 1")
    _require_plausible(manifest)
    return manifest


def verify_manifest(note: bytes, vault: str, keys: BackupKeys) -> Manifest:
    """The manifest that this vault has signed. Raises `TamperedError`."""
    manifest = read_unverified_manifest(note)
    try:
        verify_note(
            note.decode(),
            origin_of(vault),
            keys.note.public,
            is_note_signature_valid,
            sha256,
            what="manifest",
        )
    except ValueError as error:
        raise damaged(str(error)) from None
    if sign_manifest(manifest, keys) != note:
        raise damaged("something follows the signature of the manifest")
    return manifest


def manifest_verifier(vault: str, keys: BackupKeys) -> str:
    """The public key of the vault's manifests, for verifiers of signed notes."""
    return verifier_key(origin_of(vault), keys.note.public, sha256)


def _decoded(data: bytes, kind: type[S], what: str) -> S:
    try:
        return json_text.decode(data.removesuffix(b"\n"), type=kind)
    except (msgspec.MsgspecError, VaultError, ValueError):
        raise damaged(f"the {what} is not of format {FORMAT}") from None


def _require_plausible(manifest: Manifest) -> None:
    """Raise `TamperedError` for what no backup has."""
    hashes = [manifest.header, manifest.chunk_root, manifest.row_root, manifest.feed]
    if manifest.base is not None:
        hashes.append(manifest.base.digest)
    numbers = [manifest.commits, manifest.size, manifest.chunks, manifest.content, manifest.depth]
    named = [count.table for count in manifest.tables]
    excluded = manifest.excluded or ()
    total = sum(count.rows + count.removed for count in manifest.tables)
    is_plausible = (
        manifest.format == FORMAT
        and all(map(_HEX.fullmatch, hashes))
        and min(numbers) >= 0
        and manifest.depth < MAX_CHAIN
        and (manifest.base is None) == (manifest.depth == 0)
        and named == [table.name for table in TABLES if table.name in named]
        and all(count.rows >= 0 and count.removed >= 0 for count in manifest.tables)
        and total == manifest.records
        and manifest.excluded in (UNSET, SECRET_TABLES, _FORMER_SECRET_TABLES)
        and not set(named) & set(excluded)
    )
    try:
        require_id(manifest.id)
        parse_rfc3339(manifest.created, "created")
    except VaultError:
        is_plausible = False
    if not is_plausible:
        raise damaged("the manifest is not of format 1")
