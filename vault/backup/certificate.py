"""Restore certificates, format 1 (docs/spec/backup.md): a backup was restored, and opened.

A certificate is a signed note of an origin of its own, by the key that signs the vault's manifests.
It is written once, next to its backup. Whoever has the public key verifies it without Freehold.
"""

import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.instant import SECOND, parse_rfc3339
from protocols.signed_note import (
    note_text,
    parse_verifier_key,
    sign_note,
    verifier_key,
    verify_note,
)
from vault.backup.destinations.interface import Destination
from vault.backup.format import MAX_CHAIN, TABLES, BaseRef, TableCount, origin_of, require_id
from vault.crypto.backup_keys import BackupKeys
from vault.crypto.digest import DIGEST_SIZE, sha256
from vault.crypto.note_signing import is_note_signature_valid
from vault.errors import ConflictError, TamperedError, ValidationError, VaultError
from vault.store.tables import NODES, SYSTEM

FORMAT: Final = 1
CERTIFICATE: Final = ".certificate"
MAX_CERTIFICATE: Final = 64 * 1024
MAX_CERTIFICATES: Final = 100_000
"""Of one backup: one an hour for eleven years."""

ADDED_TABLES: Final = frozenset({NODES.name, SYSTEM.name})
"""A restore may add one row to each: of the node that made the last commit, and of itself."""

_ORIGIN: Final = "freehold.restore/"
_NAME: Final = re.compile(r"([0-9A-Za-z][0-9A-Za-z-]{0,63})\.([1-9][0-9]{0,5})\.certificate")
_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * DIGEST_SIZE}}}")
_SIGNATURE: Final = 64
_TRIES: Final = 8  # names that others have taken meanwhile


class Phases(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the parts of a restore test took, in milliseconds.

    `fetch`: the objects are copied. `restore`: verified, written, and read again. `open`: the
    checks of a start, and the first read. `check`: all that comes after a restore is usable.
    """

    fetch: int
    restore: int = 0
    open: int = 0
    check: int = 0


class RestoreCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed.

    `backup` and `digest` name the backup and the SHA-256 of its manifest's text, `chain` those that
    it builds on, the nearest first. `commits` and `created` are those of its manifest. `depth`:
    `rows` when it was restored and opened; `chunks` when only signatures and chunks were verified,
    because the backup is for recipients.

    `rto_ms`: from the start to a store that has answered a read; None without a restore. `rpo_ms`:
    from `created` to that of the next backup, or to `began` if there is none.

    `backup_root` and `store_root` are of the Merkle trees over the rows of the backup and over
    those that were read from the restored store; `rows` counts either. `tables` are those of the
    opened store, with what the restore has added (`ADDED_TABLES`). `versions` are those with a
    value; `sampled` of them, chosen by `seed`, were decrypted.
    `sandbox` says what the process that did it was confined by.
    """

    format: int = FORMAT
    org: str
    vault: str
    backup: str
    digest: str
    chain: tuple[BaseRef, ...]
    destination: str
    created: str
    commits: int
    schema: int
    began: str
    finished: str
    depth: Literal["rows", "chunks"]
    phases: Phases
    rto_ms: int | None
    rpo_ms: int
    rows: int = 0
    backup_root: str = ""
    store_root: str = ""
    tables: tuple[TableCount, ...] = ()
    versions: int = 0
    sampled: int = 0
    seed: str = ""
    sandbox: tuple[str, ...] = ()
    program: str

    @property
    def created_ns(self) -> int:
        """When the backup was made, in Unix nanoseconds."""
        return parse_rfc3339(self.created, "created")

    @property
    def finished_ns(self) -> int:
        """When the restore test ended, in Unix nanoseconds."""
        return parse_rfc3339(self.finished, "finished")


class SignedCertificate(NamedTuple):
    """A certificate, and the object that it is kept as."""

    name: str
    certificate: RestoreCertificate
    note: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the object, in hex, for the audit log."""
        return sha256(self.note).hex()


def certificate_origin(vault: str) -> str:
    """The first line of the vault's certificates, and the name of the key that signs them."""
    return f"{_ORIGIN}{vault}"


def certificate_verifier(vault: str, keys: BackupKeys) -> str:
    """The public key of the vault's certificates, for verifiers of signed notes."""
    return verifier_key(certificate_origin(vault), keys.note.public, sha256)


def sign_certificate(certificate: RestoreCertificate, keys: BackupKeys) -> bytes:
    """The certificate as an object."""
    return sign_note(
        _text(certificate),
        certificate_origin(certificate.vault),
        keys.note.public,
        keys.note.sign,
        sha256,
    ).encode()


def parse_certificate_verifier(text: str) -> tuple[str, bytes]:
    """Vault and public key of a verifier key: of certificates, or of manifests, which is the same.

    Raises `ValidationError` (`verifier_invalid`).
    """
    name, public = "", b""
    with suppress(ValueError):
        name, public = parse_verifier_key(text, sha256)
    vault = name.rpartition("/")[2]
    if name not in {certificate_origin(vault), origin_of(vault)}:
        raise ValidationError(
            "verifier_invalid",
            "the verifier is no public key of a vault's backups: give the one that "
            "`freehold backup create` prints",
            field="verifier",
        )
    return vault, public


def verify_certificate(note: bytes, vault: str, public: bytes) -> RestoreCertificate:
    """The certificate that the vault with this note key has signed. Raises `TamperedError`."""
    certificate = read_unverified_certificate(note)
    origin = certificate_origin(vault)
    try:
        text = verify_note(
            note.decode(), origin, public, is_note_signature_valid, sha256, what="certificate"
        )
    except ValueError as error:
        raise _invalid(str(error)) from None
    signature = b64decode(note.rpartition(b" ")[2])[-_SIGNATURE:]
    if sign_note(text, origin, public, lambda _: signature, sha256).encode() != note:
        raise _invalid("something follows its signature")
    return certificate


def read_unverified_certificate(note: bytes) -> RestoreCertificate:
    """What a certificate says, to somebody without keys. Raises `TamperedError`."""
    if len(note) > MAX_CERTIFICATE:
        raise _invalid("it is too long")
    try:
        text = note_text(note.decode())
        certificate = json_text.decode(text.partition(b"\n")[2], type=RestoreCertificate)
    except (msgspec.MsgspecError, VaultError, ValueError):
        raise _invalid("it is no signed note of format 1") from None
    if text != _text(certificate) or not _is_plausible(certificate):
        raise _invalid("it is not of format 1")
    return certificate


def write_certificate(
    destination: Destination, certificate: RestoreCertificate, keys: BackupKeys
) -> SignedCertificate:
    """Sign it and write it next to its backup, under the next number that is free.

    Raises `ConflictError` (`backup_exists`) when others take every one, and as `Destination`.
    """
    note = sign_certificate(certificate, keys)
    numbers = [n for backup, n in _numbered(destination) if backup == certificate.backup]
    first = max(numbers, default=0) + 1
    for number in range(first, first + _TRIES):
        if number > MAX_CERTIFICATES:
            break
        name = f"{certificate.backup}.{number}{CERTIFICATE}"
        try:
            with destination.create(name) as write:
                write(note)
        except ConflictError:
            continue
        return SignedCertificate(name, certificate, note)
    raise ConflictError(
        "backup_exists",
        f"the certificates of {certificate.backup} have no free name: remove the oldest ones",
    )


def read_certificate(source: Destination, name: str) -> bytes:
    """The object, unverified. Raises `NotFoundError`, `TamperedError`."""
    with source.open(name) as file:
        return file.read(MAX_CERTIFICATE + 1)


def certificate_names(source: Destination) -> list[str]:
    """The names of all certificates, by backup and number."""
    return [f"{backup}.{number}{CERTIFICATE}" for backup, number in sorted(_numbered(source))]


def list_certificates(
    source: Destination, vault: str, public: bytes
) -> tuple[list[SignedCertificate], list[VaultError]]:
    """The certificates that this vault has signed, the oldest first; and why others are refused."""
    found, faults = list[SignedCertificate](), list[VaultError]()
    for name in certificate_names(source):
        try:
            note = read_certificate(source, name)
            certificate = verify_certificate(note, vault, public)
            if not name.startswith(f"{certificate.backup}."):
                raise _invalid(f"it is of {certificate.backup}")
            found.append(SignedCertificate(name, certificate, note))
        except TamperedError as error:
            error.message = f"{name}: {error.message}"
            faults.append(error)
    return sorted(found, key=lambda each: (each.certificate.finished, each.name)), faults


def _numbered(source: Destination) -> list[tuple[str, int]]:
    found = filter(None, map(_NAME.fullmatch, source.names()))
    return [(match[1], int(match[2])) for match in found]


def _text(certificate: RestoreCertificate) -> bytes:
    body = msgspec.json.encode(certificate)
    return f"{certificate_origin(certificate.vault)}\n".encode() + body + b"\n"


def _is_plausible(certificate: RestoreCertificate) -> bool:
    """False for what no restore test makes."""
    try:
        for backup in (certificate.backup, *(base.id for base in certificate.chain)):
            require_id(backup)
        created, began, finished = (
            parse_rfc3339(text, "time")
            for text in (certificate.created, certificate.began, certificate.finished)
        )
    except VaultError:
        return False
    digests = [certificate.digest, *(base.digest for base in certificate.chain)]
    restored = certificate.depth == "rows"
    if restored:
        digests += [certificate.backup_root, certificate.store_root, certificate.seed]
    named = [count.table for count in certificate.tables]
    return (
        certificate.format == FORMAT
        and all(map(_HEX.fullmatch, digests))
        and len(certificate.chain) < MAX_CHAIN
        and created > 0
        and 0 < began <= finished
        and min(msgspec.structs.astuple(certificate.phases)) >= 0
        and certificate.rpo_ms >= 0
        and restored == (certificate.rto_ms is not None)
        and restored == bool(certificate.rows)
        and certificate.backup_root == certificate.store_root
        and named == [table.name for table in TABLES if table.name in named]
        and all(count.rows > 0 and not count.removed for count in certificate.tables)
        and (not restored or is_row_count(certificate.rows, certificate.tables))
        and 0 <= certificate.sampled <= certificate.versions
    )


def is_row_count(rows: int, tables: Iterable[TableCount]) -> bool:
    """Whether the tables of a restored store have so many rows, and those the restore adds."""
    return 0 < rows <= sum(count.rows for count in tables) <= rows + len(ADDED_TABLES)


def milliseconds(seconds: float) -> int:
    """Whole ones, rounded up: nothing takes no time."""
    return -int(-seconds * 1000 // 1)


def rpo_ms(created: int, until: int) -> int:
    """From one instant to another, in ns; 0 if a clock was set back between them."""
    return max(until - created, 0) * 1000 // SECOND


def _invalid(why: str) -> TamperedError:
    return TamperedError(
        "certificate_invalid",
        f"this is no restore certificate of the vault: {why}. Do not rely on it: test the backup "
        "again with `freehold backup prove`",
    )
