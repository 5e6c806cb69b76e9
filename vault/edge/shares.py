"""Shares of a root key as people bring them: in hexadecimal or base64."""

import binascii
from base64 import b64decode
from typing import Final

from vault.errors import ValidationError

MAX_SHARE_TEXT: Final = 256  # characters: one in hexadecimal has 66


def decode_share(text: str, alternative: str = "") -> bytes:
    """A share, in hex or base64. Raises `ValidationError`.

    `alternative`: added to the message about a missing share.
    """
    if not text:
        raise ValidationError(
            "share_missing",
            f"'key' must be specified in request body as JSON{alternative}",
            field="key",
        )
    for decode in (bytes.fromhex, _base64):
        try:
            return decode(text.strip())
        except ValueError:
            continue
    raise ValidationError(
        "share_invalid", "'key' must be a valid hex or base64 string", field="key"
    )


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error
