"""Audit logs of a vault, written by the real sink, with events as the pipeline records them."""

from itertools import count
from pathlib import Path
from typing import Any

from protocols.instant import SECOND
from tests.support.vaults import NODE
from vault.audit.batch import BatchComposer
from vault.audit.checkpoint import log_id_of
from vault.audit.hashing import ValueHasher
from vault.audit.head_file import read_head
from vault.audit.layout import LogLayout
from vault.audit.pending_record import prepare_event
from vault.audit.sinks.file import FileSink
from vault.audit.testing import NOW, make_event
from vault.crypto.keyring import Keyring
from vault.seal.bound_keys import bind_audit_keys

_numbers = count(1)


class AuditLog:
    """The log of a node of this vault. Each event is a batch of its own, a second after the last.

    With `rotation` a segment has so many bytes.
    """

    def __init__(
        self, file: Path, keyring: Keyring, node: str = NODE, *, rotation: int = 2**30
    ) -> None:
        self.file = file
        self.keys = bind_audit_keys(keyring, node)
        self._log_id = log_id_of(keyring.vault, node)
        self._rotation = rotation
        self.time = NOW
        self.heads: list[bytes] = []  # the head file after each batch
        file.parent.mkdir(parents=True, exist_ok=True)
        self.append("secret.read", "secret/app")

    def append(
        self,
        operation: str,
        path: str,
        *,
        request: Any = None,
        response: Any = None,
        outcome: str | None = "ok",
        intent: bool = True,
        time: int = 0,
        **more: Any,
    ) -> None:
        """An operation: its intent, and its outcome unless that is None."""
        self.time = time or self.time + 2 * SECOND
        about = {"request_id": f"r{next(_numbers)}", "operation": operation, "path": path} | more
        events = []
        if intent:
            events.append(make_event(**about | {"phase": "intent", "request": request}))
        if outcome is not None:
            said = {"phase": "outcome", "result": outcome, "response": response, "request": None}
            events.append(make_event(**about | said))
        hasher = ValueHasher(self.keys.mac)
        sink = FileSink(self.file, reserve_bytes=0, durability="write")
        position = sink.load(self.keys, self._log_id).position
        composer = BatchComposer(self.keys, self._log_id, position, rotation_bytes=self._rotation)
        pending = [prepare_event(event, self.time, hasher) for event in events]
        for batch in pending:
            sink.write((composer.compose([batch], self.time),))
            self.heads.append(LogLayout(self.file).head_file.read_bytes())
        sink.close()

    @property
    def checkpoint(self) -> str:
        """The signed head."""
        return read_head(LogLayout(self.file).head_file, self.keys, self.keys.public).note

    @property
    def lines(self) -> list[bytes]:
        """The lines of the active file."""
        return self.file.read_bytes().splitlines(keepends=True)
