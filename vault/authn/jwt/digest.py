"""SHA-256 for what is neither a MAC nor a signature: names of tokens, PKCE (RFC 7636)."""

from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.hashes import SHA256, Hash


def digest_of(text: str) -> str:
    """The digest of a text, as unpadded base64url."""
    digest = Hash(SHA256())
    digest.update(text.encode())
    return urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()
