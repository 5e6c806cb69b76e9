"""Codes that an authenticator app shows (RFC 6238, over HOTP of RFC 4226).

A code is taken once: the step that it belongs to must be newer than the last one that was taken.
"""

import base64
import binascii
import io
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

import segno
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from msgspec import Struct

from protocols.instant import SECOND

ALGORITHMS: Final[Mapping[str, Callable[[], SHA1 | SHA256 | SHA512]]] = {
    "SHA1": SHA1,
    "SHA256": SHA256,
    "SHA512": SHA512,
}
MIN_KEY: Final = 16  # bytes: RFC 4226, R6
MAX_KEY: Final = 64
MAX_PERIOD: Final = 300  # seconds


class TotpParameters(Struct, frozen=True, kw_only=True):
    """How codes are made. `period` in seconds; `skew`: steps to either side that count."""

    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    skew: int = 1


def encode_secret(key: bytes) -> str:
    """In base32 without padding, as apps and people take it."""
    return base64.b32encode(key).decode().rstrip("=")


def matching_step(
    secret: str, parameters: TotpParameters, code: str, *, now: int, last_step: int
) -> int | None:
    """The step whose code this is; None for a wrong one, and for one not after `last_step`.

    `now`: Unix ns. All steps of the window are looked at, whichever matches.
    """
    if len(code) != parameters.digits or not (code.isascii() and code.isdigit()):
        return None
    hotp = HOTP(
        _decode_secret(secret),
        parameters.digits,
        ALGORITHMS[parameters.algorithm](),
        enforce_key_length=False,  # checked when the method was written
    )
    current = now // SECOND // parameters.period
    first, last = max(0, current - parameters.skew), current + parameters.skew
    found = None
    for step in range(first, last + 1):
        if bytes_eq(hotp.generate(step), code.encode()) and step > last_step:
            found = step
    return found


def otpauth_url(secret: str, parameters: TotpParameters, *, issuer: str, account: str) -> str:
    """What authenticator apps read (the Key URI format)."""
    fields = {
        "algorithm": parameters.algorithm,
        "digits": parameters.digits,
        "issuer": issuer,
        "period": parameters.period,
        "secret": secret,
    }
    label = quote(f"{issuer}:{account}", safe=":@")
    return f"otpauth://totp/{label}?{urlencode(fields, quote_via=quote)}"


def qr_code_png(text: str, size: int) -> str:
    """A QR code of about `size` pixels to a side: a PNG picture in base64."""
    code = segno.make(text, error="m", micro=False)
    out = io.BytesIO()
    scale = max(1, size // code.symbol_size(border=4)[0])
    code.save(out, kind="png", scale=scale, border=4)
    return base64.b64encode(out.getvalue()).decode()


def _decode_secret(secret: str) -> bytes:
    try:
        return base64.b32decode(secret + "=" * (-len(secret) % 8))
    except binascii.Error:  # stored by us and authenticated
        raise AssertionError("a stored TOTP secret is not base32") from None
