"""What a page of ours shows to prove that it is one: it follows from the session's secret."""

import hmac
from base64 import urlsafe_b64encode

from vault.crypto.digest import sha256

_DOMAIN = b"freehold-csrf-v1\0"


def csrf_of(secret: str) -> str:
    """43 characters of base64url; who reads them (only our own origin can) learns no secret."""
    digest = sha256(_DOMAIN + secret.encode("utf-8", "surrogatepass"))
    return urlsafe_b64encode(digest).decode().rstrip("=")


def knows(shown: str, secret: str) -> bool:
    """Whether what a page showed is of this session; in a time that does not tell how nearly."""
    wanted = csrf_of(secret).encode()
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), wanted)
