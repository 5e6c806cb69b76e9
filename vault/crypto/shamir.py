"""Shamir's secret sharing over GF(2^8) (Shamir 1979; the AES polynomial, FIPS 197 section 4.2).

A share is `y (as long as the secret) || x (1 byte)`: the format of HashiCorp Vault and OpenBao,
whose shares this file reads and whose tools read ours.

Any k shares give the secret; fewer than k say nothing about it, whatever the computing power. The
scheme does not notice a wrong share: a wrong set gives a wrong secret, silently. Here the secret
is a root key, and the keyring's authenticated encryption under it is what notices.

Side channels: every multiplication is of a public coordinate with a vector of secret bytes. The
coordinate steers the branches; the secret only goes through xor, and, shift on a whole-vector
integer (as bit-sliced code does), with no table and no branch that depends on it. CPython's
integers may still take shorter for a secret with leading zero bytes; that runs once an unseal, in a
process whose local observers are out of scope (docs/spec/keyring.md).
"""

from collections.abc import Sequence

from vault.crypto.errors import MalformedShare
from vault.crypto.random import random_bytes

MIN_THRESHOLD = 2
"""One share of many would be the secret itself."""
MAX_SHARES = 255
"""Coordinates are the non-zero elements of GF(2^8)."""

MAX_SECRET = 1024
"""Bytes. A root key has 32; the bound keeps the arithmetic short."""

_POLYNOMIAL = 0x1B
"""x^8 + x^4 + x^3 + x + 1 without its x^8."""

_BYTE = 0x80


def split(secret: bytes, n: int, k: int) -> tuple[bytes, ...]:
    """`n` shares of which any `k` give `secret`.

    Raises `ValueError` unless 2 <= k <= n <= 255 and the secret has 1 to 1024 bytes.
    """
    if not MIN_THRESHOLD <= k <= n <= MAX_SHARES:
        raise ValueError("2 <= k <= n <= 255")
    size = len(secret)
    if not 1 <= size <= MAX_SECRET:
        raise ValueError("a shared secret has 1 to 1024 bytes")
    high_bits = _high_bits(size)
    # Uniform coefficients, zero included: excluding it would tell holders of k-1 shares one value
    # that each secret byte does not have.
    coefficients = [int.from_bytes(random_bytes(size)) for _ in range(k - 1)]
    shares = []
    for x in range(1, n + 1):
        y = 0
        for coefficient in coefficients:
            y = _scale(y ^ coefficient, x, high_bits)
        y ^= int.from_bytes(secret)
        shares.append(y.to_bytes(size) + bytes([x]))
    return tuple(shares)


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret at x = 0 of the one polynomial through all `shares`.

    That is the shared secret if the shares belong together and are at least k; otherwise it is
    some other string (see the module). Raises `MalformedShare` for fewer than 2 shares, unequal
    or impossible lengths, a coordinate of 0, or the same coordinate twice.
    """
    xs = _coordinates(shares)
    size = len(shares[0]) - 1
    high_bits = _high_bits(size)
    secret = 0
    for share, x in zip(shares, xs, strict=True):
        secret ^= _scale(int.from_bytes(share[:-1]), _lagrange_at_zero(x, xs), high_bits)
    return secret.to_bytes(size)


def _coordinates(shares: Sequence[bytes]) -> list[int]:
    if not MIN_THRESHOLD <= len(shares) <= MAX_SHARES:
        raise MalformedShare("2 to 255 shares combine")
    size = len(shares[0])
    if not 1 < size <= MAX_SECRET + 1 or any(len(share) != size for share in shares):
        raise MalformedShare("shares have one length, 2 to 1025 bytes")
    xs = [share[-1] for share in shares]
    if 0 in xs:
        raise MalformedShare("no share has coordinate 0: that would be the secret itself")
    if len(set(xs)) != len(xs):
        raise MalformedShare("two shares have the same coordinate")
    return xs


def _high_bits(size: int) -> int:
    return int.from_bytes(bytes([_BYTE]) * size)


def _scale(vector: int, scalar: int, high_bits: int) -> int:
    """Each byte of `vector` times `scalar` in GF(2^8). Branches on `scalar` only: it is public."""
    product = 0
    while scalar:
        if scalar & 1:
            product ^= vector
        carry = vector & high_bits
        vector = ((vector ^ carry) << 1) ^ ((carry >> 7) * _POLYNOMIAL)
        scalar >>= 1
    return product


def _lagrange_at_zero(x: int, xs: Sequence[int]) -> int:
    """The weight of the share at `x`: the product of xj / (xj - x) over the others. All public."""
    above = below = 1
    for other in xs:
        if other != x:
            above = _scale(above, other, _BYTE)
            below = _scale(below, other ^ x, _BYTE)
    return _scale(above, _inverse(below), _BYTE)


def _inverse(element: int) -> int:
    """The inverse in GF(2^8): element^254, as every non-zero element's 255th power is 1."""
    power = 1
    for _ in range(254):
        power = _scale(power, element, _BYTE)
    return power
