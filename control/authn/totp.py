"""Codes of an authenticator (RFC 6238: SHA-1, 30 seconds, 6 digits: what every such app speaks).

A code is taken once: the step it belongs to has to be newer than the last one taken. One step to
either side is for clocks that differ (RFC 6238, 5.2).
"""

import base64
import io
from typing import Final

import pyotp
import segno

from control.crypto import constant_time_equal, random_bytes
from protocols.instant import SECOND

STEP_SECONDS: Final = 30
SECRET_BYTES: Final = 20  # RFC 4226, R6 recommends 160 bits
DIGITS: Final = 6
_ALLOWED_DRIFT: Final = 1


def new_totp_secret() -> str:
    """In base32, as apps and people take it."""
    return base64.b32encode(random_bytes(SECRET_BYTES)).decode()


def matching_step(secret: str, code: str, now: int, last_step: int) -> int | None:
    """The time step whose code this is; None for a wrong one, or one not newer than `last_step`.

    `now`: Unix nanoseconds.
    """
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    generator = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS)
    current = now // SECOND // STEP_SECONDS
    found = None
    for step in range(max(0, current - _ALLOWED_DRIFT), current + _ALLOWED_DRIFT + 1):
        if constant_time_equal(generator.at(step * STEP_SECONDS), code) and step > last_step:
            found = step
    return found


def otpauth_uri(secret: str, account: str, issuer: str) -> str:
    """What a QR code for authenticator apps holds (`otpauth://totp/…`)."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(
        name=account, issuer_name=issuer
    )


def qr_code_svg(text: str) -> str:
    """A QR code of it: an SVG picture as a `data:` URL, for an `img`."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", border=4, xmldecl=False, light="#fff", dark="#000"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
