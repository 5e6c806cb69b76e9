"""One line of the log: an envelope that is the same for every kind, around a body.

`{"v":1,"seq":n,"time":…,"log":…,"kind":…,"body":{…},"prev":hex,"commit":hex}`,
without spaces, the fields in that order. Pure: time and sequence number are given.
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from protocols import json_text
from vault.audit.keys import AuditKeys

VERSION: Final = 1
MAX_BODY: Final = 131_072  # bytes; 1,000 hashed values under short keys take about 90 KiB
MAX_LINE: Final = 2 * MAX_BODY  # what a reader accepts
MAX_TEXT: Final = 512  # characters of a text that the caller chose, such as a user agent

_COMMIT: Final = b"c"  # first byte of what the commit mark is over; value hashes use others
_COMMIT_FIELD: Final = b',"commit":"'
_MARK: Final = 64 + len('"}')  # a SHA-256 HMAC in hex, then the end of the line
_TAIL: Final = len(_COMMIT_FIELD) + _MARK


class AuditEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the pipeline reports. `request` and `response` are plain data or structs, and hashed."""

    request_id: str
    phase: str  # "intent" or "outcome"
    operation: str
    path: str
    capability: str
    actor_id: str
    actor_name: str
    method: str
    credential: str  # accessor or key id, never the secret
    ip: str
    user_agent: str
    dialect: str
    result: str  # "ok", "denied" or "failed"
    code: str = ""
    rule: str = ""
    alert: bool = False  # a policy with the action `alert` took part
    request: object = None
    response: object = None


def service_alert(
    service: str,
    operation: str,
    path: str,
    rule: str,
    request_id: str,
    *,
    result: str = "ok",
    code: str = "",
) -> AuditEvent:
    """An alert of the agent's own background work: `rule` is its text."""
    actor = f"service:{service}"
    return AuditEvent(
        request_id=request_id,
        phase="outcome",
        operation=operation,
        path=path,
        capability="",
        actor_id=actor,
        actor_name=actor,
        method="service",
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result=result,
        code=code,
        rule=rule,
        alert=True,
    )


RecordKind = Literal["genesis", "segment", "event", "checkpoint", "retention", "repair"]


class AuditRecord(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line. `prev` is the chain's head before it.

    `commit` is on the last record of a batch: an HMAC over `prev` and the line without it. After a
    crash it tells the writer which of the records that its head file does not cover are its own and
    complete.
    """

    v: int
    seq: int
    time: str  # RFC 3339 with nanoseconds
    log: str  # the vault's id and the node's: `vault.audit.checkpoint.log_id_of`
    kind: RecordKind
    body: Any  # `msgspec.Raw` when written
    prev: str
    commit: str = ""


class CheckpointBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `checkpoint`: a signed note over the tree *before* this record, and its frontier."""

    note: str
    frontier: list[str]


class SegmentBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `genesis` and `segment`, the first record of a file: a checkpoint to start from."""

    number: int
    public_key: str  # base64, raw Ed25519
    note: str
    frontier: list[str]


class RetentionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `retention`: segments to `through` may be gone; `first` is then the first record."""

    through: int
    first: int


class RepairBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `repair`: what a start found beyond the head after a crash.

    `adopted` complete records that were kept, `dropped` bytes of a batch that was never
    acknowledged and was cut off.
    """

    adopted: int
    dropped: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = json_text.decoder(AuditRecord)


def encode_body(body: object) -> bytes:
    """The JSON of a body, on one line."""
    return _ENCODER.encode(body)


class RecordContent(NamedTuple):
    """What a line says, but for its place in the log."""

    time: str
    kind: RecordKind
    body: bytes


def encode_record(entry: RecordContent, log_id: str, seq: int, prev: bytes) -> bytes:
    """The line, without its newline."""
    time, kind, body = entry
    return _ENCODER.encode(
        AuditRecord(VERSION, seq, time, log_id, kind, msgspec.Raw(body), prev.hex())
    )


def encode_committed(
    entry: RecordContent, log_id: str, seq: int, prev: bytes, keys: AuditKeys
) -> bytes:
    """The line of the last record of a batch."""
    line = encode_record(entry, log_id, seq, prev)
    return line[:-1] + _COMMIT_FIELD + commit_mark(keys, prev, line).encode() + b'"}'


def commit_mark(keys: AuditKeys, prev: bytes, line: bytes) -> str:
    """The mark for a line that is given without one."""
    return keys.mac(_COMMIT + prev + line).hex()


def split_commit(line: bytes) -> tuple[bytes, bytes]:
    """A line without its commit mark, and the mark in hex (empty if it has none)."""
    if line[-_TAIL:-_MARK] != _COMMIT_FIELD:
        return line, b""
    return line[:-_TAIL] + b"}", line[-_MARK:-2]


def decode_record(line: bytes) -> AuditRecord:
    """The record of a line. Raises `ValueError` saying what is wrong with it."""
    try:
        record = _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:  # the latter: nested a thousand deep
        raise ValueError(f"not an audit record: {error}") from None
    if record.v != VERSION:
        raise ValueError(f"record version {record.v} is not known")
    return record


def decode_body(record: AuditRecord, kind: type[Any]) -> Any:
    """The body as its struct. Raises `ValueError` if it is not one."""
    try:
        return msgspec.convert(record.body, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not the body of a {record.kind} record: {error}") from None
