"""Signed heads of the audit logs, kept outside the database, to verify the logs against.

A chain shows edits in it, but whoever can write to the database can write it anew from any point
on. So the newest head of each organization is signed (Ed25519, the witness key) and put into a file
beside the keys, once a minute; `freehold control audit verify` compares. For the case that an
attacker reaches both, people keep a copy of `GET organizations/{org}/audit/head`.

Signed are the bytes `freehold-trail-head-v1 ‖ 00 ‖ length (u32) ‖ org ‖ size (u64) ‖ hash (32) ‖
time (u64, Unix nanoseconds)`, integers big-endian.

Processes that share a folder share the file: each accepts the heads of the others, and replaces no
head by an older one.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Final

import msgspec
from msgspec import Struct

from actors import World
from control.crypto import SigningKey, is_valid_signature, sha256
from control.model.conditions import TRAIL_BROKEN
from control.model.people import PLATFORM
from control.model.records import Severity
from control.services.alerts import Alerts
from control.store import alerts, audit_records
from control.store.audit_records import AuditLogBase
from control.store.rows import Tx
from control.store.store import Store
from protocols import json_text
from protocols.errors import TamperedError, UnavailableError
from protocols.lockfile import LockFile
from protocols.pki import files

HEAD_DOMAIN: Final = b"freehold-trail-head-v1\0"
BASE_DOMAIN: Final = b"freehold-trail-base-v1\0"
"""The domain of a base: a head behind which an audit log begins whose oldest records are gone."""
HEADS_FILE: Final = "trail-heads.json"
REPLACED: Final = "trail-heads.replaced.json"
"""Heads that a person has set aside: what they show of an audit log is known and meant."""
MAX_FILE_BYTES: Final = 1 << 26
"""Bytes; an organization's head has some 220."""


class SignedHead(Struct, frozen=True):
    """The end of an audit log at a time: `size` records, the last of which has this hash."""

    org: str
    size: int
    hash: bytes
    at: int
    signature: bytes = b""


class SignedHeads:
    """Signs heads with the witness key, and keeps the newest in a file.

    A head replaces an older one only while the audit log still contains that: a rewritten log is
    not signed. It raises an alert, whose subject is the missing head, and the file stays. The alert
    ends when the audit log contains the head again, or a person has set it aside; another process
    with another file does not end it.
    """

    def __init__(
        self, store: Store, alerts_: Alerts, signing_key: SigningKey, path: Path, world: World
    ) -> None:
        self._store = store
        self._alerts = alerts_
        self._sign = signing_key.sign
        self.public = signing_key.public_key().public_bytes_raw()
        self._path = path
        self._world = world
        self._kept: dict[str, SignedHead] = {}
        self._file: tuple[bytes, dict[str, SignedHead]] = b"", {}
        place = sha256(f"{gethostname()}\0{path.absolute()}".encode())
        self._damaged = f"file-{place.hex()[:32]}"
        """The subject of the alert about this process's file."""

    async def sign_head(self, org: str) -> SignedHead:
        """The signed head of the audit log as it is now; of an empty one with size 0."""
        last = await self._store.read(lambda tx: audit_records.get_last_event(tx, org))
        return self._signed(org, *((0, bytes(32)) if last is None else (last.seq, last.hash)))

    async def save_heads(self) -> None:
        """Write changed heads into the file. Raises `ControlError`, `PkiKeyError`."""
        try:
            await self._save_heads()
        except TamperedError as error:
            await self._alert_rollback(PLATFORM, error.message, self._damaged)

    async def _save_heads(self) -> None:
        kept = self._kept = await self._world.run_sync(self._newest_heads)
        aside = await self._world.run_sync(self._set_aside)
        changed, broken, told = await self._store.read(
            lambda tx: _compare_heads(tx, kept, self.public)
        )
        for org in broken:
            said = "the trail of people is not the one that was signed"
            await self._alert_rollback(org, said, _subject(kept[org]))
        for org, subject in told:
            over = {_subject(heads[org]) for heads in (kept, aside) if org in heads}
            over |= {self._damaged, ""} if org in kept else {self._damaged}  # "": of before 0028
            if org in broken:
                over.discard(_subject(kept[org]))
            if subject in over:
                await self._alerts.resolve_alerts(org, [TRAIL_BROKEN], subject=subject)
        if changed:
            signed = {org: self._signed(org, *end) for org, end in changed.items()}
            self._kept = await self._world.run_sync(partial(self._merge_into_file, signed))

    def saved_head(self, org: str) -> SignedHead | None:
        """The head in the file; None before there is any."""
        return self._kept.get(org)

    def sign_message(self, message: bytes) -> bytes:
        """Ed25519 by the same key, for messages with a domain of their own."""
        return self._sign(message)

    def _newest_heads(self) -> dict[str, SignedHead]:
        """The newer of the heads in memory and in the file."""
        return merge_heads(self._kept, self._read_file())

    def _merge_into_file(self, signed: dict[str, SignedHead]) -> dict[str, SignedHead]:
        """Merge into the file, without replacing newer heads of other processes."""
        lock = LockFile(self._path.with_suffix(".lock"))
        try:
            lock.acquire()
        except UnavailableError:
            return self._kept  # another one is at it; what it does not know yet is next time's
        try:
            heads = merge_heads(self._newest_heads(), signed)
            files.write_atomically(
                self._path, encode_heads(heads.values()), files.SECRET_MODE, replace=True
            )
        finally:
            lock.release()
        return heads

    def _read_file(self) -> dict[str, SignedHead]:
        if not self._path.exists():
            return {}
        data = files.read_file(self._path, secret=True, most=MAX_FILE_BYTES)
        if data != self._file[0]:
            self._file = data, decode_heads(data, self.public)
        return self._file[1]

    def _set_aside(self) -> dict[str, SignedHead]:
        path = self._path.with_name(REPLACED)
        if not path.exists():
            return {}
        return decode_heads(files.read_file(path, secret=True, most=MAX_FILE_BYTES), self.public)

    async def _alert_rollback(self, org: str, message: str, subject: str) -> None:
        """Fire the alert, unless it fires already, by whichever process."""
        alert = self._alerts.new_alert(
            org, "", TRAIL_BROKEN, Severity.CRITICAL, message, subject=subject
        )
        await self._alerts.fire_alerts(alert, repeat=False)

    def sign_base(self, org: str, size: int, digest: bytes) -> SignedHead:
        """Sign the base that an audit log may begin behind; its record is still there."""
        return self._signed(org, size, digest, BASE_DOMAIN)

    def _signed(
        self, org: str, size: int, digest: bytes, domain: bytes = HEAD_DOMAIN
    ) -> SignedHead:
        head = SignedHead(org, size, digest, self._world.now())
        return msgspec.structs.replace(head, signature=self._sign(signed_bytes(head, domain)))


def merge_heads(
    known: dict[str, SignedHead], others: dict[str, SignedHead]
) -> dict[str, SignedHead]:
    """For each organization the head of the longer audit log; of two as long the first."""
    found = dict(known)
    for org, head in others.items():
        if org not in found or head.size > found[org].size:
            found[org] = head
    return found


def is_valid_base(base: AuditLogBase, public: bytes) -> bool:
    """Whether this key has signed the stored base."""
    return is_valid_head(
        SignedHead(base.org, base.size, base.hash, base.at, base.signature), public, BASE_DOMAIN
    )


def _subject(head: SignedHead) -> str:
    """The subject of an alert about this head."""
    return f"{head.size}-{head.hash.hex()}"


def _compare_heads(
    tx: Tx, kept: dict[str, SignedHead], public: bytes
) -> tuple[dict[str, tuple[int, bytes]], list[str], list[tuple[str, str]]]:
    """Heads to sign, and organizations whose audit log lacks a signed head.

    The latter with the subject of the alert.
    """
    ends = {org: (size, digest) for org, size, digest in audit_records.chain_ends(tx)}
    broken = [
        org
        for org, head in kept.items()
        if ends.get(org) != (head.size, head.hash) and not contains_head(tx, head, public)
    ]
    fresh = {
        org: end
        for org, end in ends.items()
        if org not in broken and (org not in kept or end != (kept[org].size, kept[org].hash))
    }
    return fresh, broken, alerts.subjects_anywhere(tx, TRAIL_BROKEN)


def contains_head(tx: Tx, head: SignedHead, public: bytes) -> bool:
    """Whether the audit log contains this head, or a signed base that replaced it."""
    base = audit_records.get_base(tx, head.org)
    if base is not None and base.size >= head.size and is_valid_base(base, public):
        same = base.hash == head.hash  # not secret: a public chain
        return base.size > head.size or same
    found = audit_records.list_events(tx, head.org, after=head.size - 1, limit=1)
    return bool(found) and (found[0].seq, found[0].hash) == (head.size, head.hash)


def is_valid_head(head: SignedHead, public: bytes, domain: bytes = HEAD_DOMAIN) -> bool:
    """Whether this key has signed it."""
    return is_valid_signature(public, signed_bytes(head, domain), head.signature)


def signed_bytes(head: SignedHead, domain: bytes = HEAD_DOMAIN) -> bytes:
    """The bytes that are signed."""
    name = head.org.encode()
    numbers = head.size.to_bytes(8, "big"), head.at.to_bytes(8, "big")
    return domain + len(name).to_bytes(4, "big") + name + numbers[0] + head.hash + numbers[1]


def encode_heads(heads: Iterable[SignedHead]) -> bytes:
    """The content of the file: a JSON list, bytes in base64."""
    return msgspec.json.encode(list(heads))


def decode_heads(data: bytes, public: bytes) -> dict[str, SignedHead]:
    """The heads of a file by organization. Raises `TamperedError` for one not signed by us."""
    try:
        heads = json_text.decode(data, type=list[SignedHead])
    except msgspec.DecodeError:
        raise TamperedError(
            "trail_heads", "the file of signed heads is damaged: restore it from a copy"
        ) from None
    for head in heads:
        if not is_valid_head(head, public):
            raise TamperedError(
                "trail_heads",
                "the file of signed heads has another key's signature: compare the key with the "
                "one you kept",
            )
    return {head.org: head for head in heads}
