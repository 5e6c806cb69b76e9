"""SSH key pairs in OpenSSH's formats."""

from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

_EXPONENT = 65537


class SshKeyPair(NamedTuple):
    """`private`: OpenSSH's PEM, in the clear. `public`: algorithm and base64, without a comment."""

    private: str
    public: str


def new_ed25519_pair(random: Callable[[int], bytes]) -> SshKeyPair:
    """An Ed25519 pair (RFC 8709) of 32 bytes of `random`."""
    return _pair(Ed25519PrivateKey.from_private_bytes(random(32)))


def new_rsa_pair(bits: int) -> SshKeyPair:
    """An RSA pair. Its primes are found by OpenSSL's own generator, which takes no other's."""
    return _pair(generate_private_key(_EXPONENT, bits))


def _pair(key: Ed25519PrivateKey | RSAPrivateKey) -> SshKeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return SshKeyPair(private.decode(), public.decode())
