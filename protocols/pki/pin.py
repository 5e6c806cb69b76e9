"""The pin of an authority: what a person carries to an agent, to know the control plane by.

`sha256:` and the base64url (RFC 4648 section 5, no padding, 43 digits) of the SHA-256 of the root's
SubjectPublicKeyInfo. It pins the key, not the certificate: a root certified anew keeps its pin.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryptography.x509 import Certificate

from protocols.pki.certificates import public_key
from protocols.pki.errors import PinError
from protocols.pki.keys import key_hash

PREFIX: Final = "sha256:"
_SHAPE = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{43}})", re.ASCII)


def pin_of(certificate: Certificate) -> str:
    """The pin of an authority's certificate."""
    return format_pin(key_hash(public_key(certificate)))


def format_pin(digest: bytes) -> str:
    """The text of a 32-byte key hash."""
    return PREFIX + urlsafe_b64encode(digest).decode().rstrip("=")


def parse_pin(text: str) -> bytes:
    """The key hash in a pin. Raises `PinError` for any text that `format_pin` would not write."""
    match = _SHAPE.fullmatch(text)
    digest = urlsafe_b64decode(match.group(1) + "=") if match else b""
    # 43 digits hold 258 bits: of four spellings of one hash, one is right.
    if match is None or format_pin(digest) != text:  # not secret: a pin is public
        raise PinError("not a pin: sha256:<43 digits of base64url>, as `control ca get` prints it")
    return digest


def pin_matches(certificate: Certificate, digest: bytes) -> bool:
    """Whether the certificate's key is the pinned one."""
    return hmac.compare_digest(key_hash(public_key(certificate)), digest)
