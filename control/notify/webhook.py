"""Webhooks after the Standard Webhooks specification, 1.0: receivers can verify the sender.

webhook-id: the message's id, the same at every attempt
webhook-timestamp: Unix seconds of this attempt
webhook-signature: v1,BASE64(HMAC-SHA256(key, id ‖ "." ‖ timestamp ‖ "." ‖ body)), one a key
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from control.crypto import mac, random_bytes
from control.model.notices import Kind
from control.notify.message import NotificationMessage
from protocols.instant import rfc3339, rfc3339_or_none

KEY_BYTES: Final = 32
PREFIX: Final = "whsec_"
TYPE: Final = "freehold.notices"


def new_webhook_key() -> bytes:
    """A signing key."""
    return random_bytes(KEY_BYTES)


def encode_webhook_key(key: bytes) -> str:
    """The key in the form that its receiver configures."""
    return PREFIX + b64encode(key).decode()


def webhook_body(letter: NotificationMessage) -> bytes:
    """The body, the same bytes at every attempt."""
    data: dict[str, Any] = {
        "organization": letter.org,
        "omitted": letter.omitted,
        "url": letter.link,
        "notices": [
            {
                "id": notice.id,
                "kind": str(notice.kind),
                "code": notice.code,
                "severity": str(notice.severity),
                "vault": notice.vault,
                "subject": notice.subject,
                "message": notice.message,
                "at": rfc3339(notice.at),
                "repeated": notice.repeated,
                "began_at": rfc3339_or_none(notice.began_at),
                "ended_at": rfc3339_or_none(notice.ended_at),
            }
            for notice in letter.notices
        ],
    }
    is_test = any(notice.kind is Kind.TEST for notice in letter.notices)
    kind = f"{TYPE}.test" if is_test else TYPE
    return msgspec.json.encode({"type": kind, "timestamp": rfc3339(letter.at), "data": data})


def webhook_headers(
    identifier: str, body: bytes, keys: Sequence[bytes], seconds: int
) -> dict[str, str]:
    """The headers, with a signature by each key."""
    signed = f"{identifier}.{seconds}.".encode() + body
    signatures = (f"v1,{b64encode(mac(key, signed)).decode()}" for key in keys)
    return {
        "Content-Type": "application/json",
        "User-Agent": "Freehold",
        "webhook-id": identifier,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
