"""From an event to the bytes that will be logged: done by the caller, before it is queued.

Values are hashed here, so that no queue ever holds one, and an event that cannot be encoded fails
its own request and no other.
"""

from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from vault.audit.hashing import ValueHasher
from vault.audit.record import MAX_BODY, MAX_TEXT, AuditEvent, RecordKind, encode_body


class PendingRecord(NamedTuple):
    """A record but for its place in the log. `time` is in Unix nanoseconds."""

    time: int
    kind: RecordKind
    body: bytes


def prepare_event(event: AuditEvent, time: int, hasher: ValueHasher) -> PendingRecord:
    """The event with its values hashed, in at most `MAX_BODY` bytes.

    Raises what `ValueHasher.redact` raises.
    """
    changes: dict[str, Any] = {}
    if len(event.user_agent) > MAX_TEXT:
        changes["user_agent"] = event.user_agent[:MAX_TEXT]
    if event.request is not None:
        changes["request"] = hasher.redact(event.request)
    if event.response is not None:
        changes["response"] = hasher.redact(event.response)
    body = encode_body(replace(event, **changes) if changes else event)
    if len(body) > MAX_BODY:
        body = encode_body(_truncate_event(event, hasher))
    return PendingRecord(time, "event", body)


def _truncate_event(event: AuditEvent, hasher: ValueHasher) -> AuditEvent:
    """One hash for each side, and every text cut."""
    texts = {k: v[:MAX_TEXT] for k, v in asdict(event).items() if isinstance(v, str)}
    sides = {
        name: hasher.hash_value(side)
        for name in ("request", "response")
        if (side := getattr(event, name)) is not None
    }
    return replace(event, **{**texts, **sides})
