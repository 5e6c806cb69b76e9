"""For tests: keys, events, whole logs, and a disk that fails on demand."""

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from protocols.instant import SECOND
from vault.audit.batch import BatchComposer
from vault.audit.checkpoint import log_id_of
from vault.audit.hashing import ValueHasher
from vault.audit.keys import AuditKeys, VerifyKeys
from vault.audit.layout import LogLayout
from vault.audit.pending_record import PendingRecord, prepare_event
from vault.audit.record import AuditEvent
from vault.audit.sinks.disk import Disk
from vault.audit.sinks.file import FileSink
from vault.audit.verify import LogVerdict, LogVerifier
from vault.crypto.digest import sha256
from vault.crypto.hmac import hmac_sha256
from vault.crypto.note_signing import NoteKey, is_note_signature_valid

VAULT: Final = "vault-1"
NODE: Final = "node-1"
LOG_ID: Final = log_id_of(VAULT, NODE)
NOW: Final = 1_800_000_000 * SECOND


def make_keys(seed: bytes = b"seed") -> AuditKeys:
    """The same keys for the same seed."""
    key = NoteKey.from_seed(sha256(seed))
    return AuditKeys(
        digest=sha256,
        verify=is_note_signature_valid,
        mac=partial(hmac_sha256, sha256(b"mac" + seed)),
        sign=key.sign,
        public=key.public,
    )


def make_event(number: int = 0, **changes: Any) -> AuditEvent:
    """A read that went well."""
    fields: dict[str, Any] = {
        "request_id": f"request-{number}",
        "phase": "outcome",
        "operation": "secret.read",
        "path": "secret/app/db",
        "capability": "read",
        "actor_id": "user-1",
        "actor_name": "alice",
        "method": "token",
        "credential": "accessor-1",
        "ip": "192.0.2.1",
        "user_agent": "curl/8.0",
        "dialect": "native",
        "result": "ok",
        "request": {"version": number},
    }
    return AuditEvent(**{**fields, **changes})


def make_pending_record(number: int = 0, time: int = NOW) -> PendingRecord:
    """The draft of such an event."""
    return prepare_event(make_event(number), time, ValueHasher(make_keys().mac))


def write_log(
    log: Path,
    batches: int,
    *,
    batch: int = 4,
    rotation: int = 2**30,
    step: int = SECOND // 4,
    log_id: str = LOG_ID,
    keys: AuditKeys | None = None,
) -> BatchComposer:
    """A log of so many batches by the real sink; a checkpoint every `SECOND / step` batches."""
    keys = keys or make_keys()
    sink = FileSink(log, reserve_bytes=0, durability="write")
    ledger = BatchComposer(keys, log_id, sink.load(keys, log_id).position, rotation_bytes=rotation)
    for number in range(batches):
        now = NOW + number * step
        drafts = [make_pending_record(number * batch + i, now) for i in range(batch)]
        sink.write((ledger.compose(drafts, now),))
    sink.close()
    return ledger


Fault = Callable[[str, int], int | OSError | None]
"""Given an operation and how many came before: None, an error, or the bytes that a write takes."""


def fail_at(call: int, code: int = errno.EIO, *, taken: int | None = None) -> Fault:
    """A fault that strikes once, at one call; a write there first takes `taken` bytes."""

    def fault(operation: str, number: int) -> int | OSError | None:
        if operation == "write" and taken is not None:
            return (
                taken if number == call else OSError(code, "faulty") if number == call + 1 else None
            )
        return OSError(code, "faulty") if number == call else None

    return fault


class FaultyDisk(Disk):
    """The real disk, until `fault` says otherwise."""

    def __init__(self, fault: Fault = lambda _operation, _number: None) -> None:
        self.fault = fault
        self.calls: list[str] = []

    def _strike(self, operation: str) -> int | None:
        number = len(self.calls)
        self.calls.append(operation)
        outcome = self.fault(operation, number)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def open(self, path: Path, *, create: bool = False, truncate: bool = False) -> int:
        """As the disk's."""
        self._strike("open")
        return super().open(path, create=create, truncate=truncate)

    def lock(self, fd: int) -> None:
        """As the disk's."""
        self._strike("lock")
        super().lock(fd)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        """As the disk's, but for how much."""
        limit = self._strike("write")
        return super().write(fd, data[:limit], offset)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """As the disk's."""
        self._strike("read")
        return super().read(fd, size, offset)

    def sync(self, fd: int) -> None:
        """As the disk's."""
        self._strike("sync")
        super().sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """As the disk's."""
        self._strike("truncate")
        super().truncate(fd, size)

    def size(self, fd: int) -> int:
        """As the disk's."""
        self._strike("size")
        return super().size(fd)

    def allocate(self, fd: int, size: int) -> None:
        """As the disk's."""
        self._strike("allocate")
        super().allocate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        """As the disk's."""
        self._strike("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        """As the disk's."""
        self._strike("unlink")
        super().unlink(path)

    def sync_folder(self, folder: Path) -> None:
        """As the disk's."""
        self._strike("sync_folder")
        super().sync_folder(folder)


def verify_log(
    log: Path, keys: VerifyKeys, public: bytes | None = None, witness: str = ""
) -> LogVerdict:
    """Check the log `log` (its active file), its closed segments and its head file.

    `witness` is a signed checkpoint that was kept elsewhere: the log must hold what it is over.

    Raises `BadLogError` for the first bad record, `OSError` when a file cannot be read. A log that
    is being written meanwhile is checked up to the head at the start.
    """
    verifier = LogVerifier(LogLayout(log), keys, public, witness)
    for _ in verifier.records():
        pass
    return verifier.verdict()
