"""Keys that verify tokens: from a JSON Web Key (RFC 7517) or PEM, each bound to its algorithms.

A key verifies what its type, curve, `alg`, `use` and `key_ops` allow and nothing else, so no token
chooses how it is verified. PyJWT does the arithmetic; what it lets pass is refused here.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

from protocols import json_text
from vault.authn.jwt.compact import ALGORITHMS, CompactToken, InvalidTokenError

MAX_KEYS: Final = 100  # of one set
MAX_TRIED: Final = 8  # for a token that names no key
MAX_PEM: Final = 16 * 1024  # characters of one key
MIN_RSA_BITS: Final = 2048  # RFC 7518, 3.3
MAX_RSA_BITS: Final = 8192  # a signature of one costs 0.5 ms
_MAX_EXPONENT: Final = 1 << 33
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_TYPES: Final = {
    "RSA": _RSA,
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_ROCA_PRIMES: Final = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip
_GENERATOR: Final = 65537


@cache
def _implementations() -> dict[str, Any]:
    """PyJWT's, by the name of the algorithm. It is loaded by agents that verify something."""
    from jwt.algorithms import get_default_algorithms

    return {name: found for name, found in get_default_algorithms().items() if name in ALGORITHMS}


_PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class UnusableKeyError(ValueError):
    """A key that verifies nothing here; the text says why and holds nothing of the key."""


class VerificationKey(Struct, frozen=True):
    """A public key and the algorithms that it is for. `kid` empty: it has no name."""

    kid: str
    algorithms: tuple[str, ...]
    public_key: Any

    def verifies(self, token: CompactToken) -> bool:
        """Whether the token was signed by this key, with an algorithm that it is for."""
        if token.algorithm not in self.algorithms:
            return False
        implementation = _implementations()[token.algorithm]
        return bool(implementation.verify(token.signed, self.public_key, token.signature))


class KeySet(Struct, frozen=True):
    """The keys of one issuer, of those algorithms that are pinned."""

    keys: tuple[VerificationKey, ...]

    def select(self, token: CompactToken) -> tuple[VerificationKey, ...]:
        """The keys that could have signed it: of its name, or all if either names none.

        Raises `InvalidTokenError` where several keys have its name: which one is meant?
        """
        usable = [key for key in self.keys if token.algorithm in key.algorithms]
        if not token.kid:
            return tuple(usable[:MAX_TRIED])
        named = [key for key in usable if key.kid == token.kid]
        if len(named) > 1:
            raise InvalidTokenError("several keys of its issuer have the id that it names")
        return tuple(named)

    def knows(self, kid: str) -> bool:
        """Whether a key has this name."""
        return any(key.kid == kid for key in self.keys)


def verify_signature(token: CompactToken, keys: Iterable[VerificationKey]) -> None:
    """Raise `InvalidTokenError` unless one of the keys has signed the token."""
    if not any(key.verifies(token) for key in keys):
        raise InvalidTokenError("no key of its issuer has signed it")


def keys_from_jwks(data: bytes | str, algorithms: Sequence[str] = ()) -> KeySet:
    """The usable keys of a JSON Web Key Set; others are for others, and left out.

    `algorithms`: the pinned ones; empty: all of ours. Raises `UnusableKeyError` for what is no key
    set, has too many keys, or none that is usable.
    """
    try:
        found = json_text.decode(data, type=dict[str, Any])["keys"]
    except (ValueError, KeyError, RecursionError):
        raise UnusableKeyError("it is no JSON Web Key Set") from None
    if not isinstance(found, list) or len(found) > MAX_KEYS:
        raise UnusableKeyError(f"it has not got a list of at most {MAX_KEYS} keys")
    usable = []
    for each in found:
        try:
            usable.append(key_from_jwk(each, algorithms))
        except UnusableKeyError:
            continue
    if not usable:
        raise UnusableKeyError("it has no key that verifies signatures")
    return KeySet(tuple(usable))


def key_from_jwk(jwk: Any, algorithms: Sequence[str] = ()) -> VerificationKey:
    """The key of a JSON Web Key. Raises `UnusableKeyError`."""
    if not isinstance(jwk, dict):
        raise UnusableKeyError("it is no object")
    kid, operations = jwk.get("kid", ""), jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnusableKeyError("it is no public key, or its id is no text")
    if (
        jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        raise UnusableKeyError("it is not for verifying signatures")
    kind = jwk.get("kty")
    fitting = _TYPES.get(str(jwk.get("crv") if kind in {"EC", "OKP"} else kind), ())
    if kind == "RSA":
        _check_members(jwk, "n", "e")
    elif kind == "EC":
        _check_members(jwk, "x", "y")
    else:
        _check_members(jwk, "x")
    named = jwk.get("alg")
    usable = tuple(
        each
        for each in fitting
        if (each == named if named is not None else True) and (not algorithms or each in algorithms)
    )
    if not usable:
        raise UnusableKeyError("its type, curve and algorithm do not fit, or are not allowed")
    implementation = _implementations()[usable[0]]
    from jwt.exceptions import PyJWTError

    try:
        public_key = implementation.from_jwk(jwk)
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise UnusableKeyError("it is no valid key") from None
    return VerificationKey(kid, _fitting(public_key, usable), public_key)


def keys_from_pem(texts: Iterable[str], algorithms: Sequence[str] = ()) -> KeySet:
    """Keys, or certificates of keys, in PEM. They have no names. Raises `UnusableKeyError`."""
    made = tuple(_key_from_pem(text, algorithms) for text in texts)
    if not made or len(made) > MAX_KEYS:
        raise UnusableKeyError(f"give 1 to {MAX_KEYS} keys")
    return KeySet(made)


def _key_from_pem(text: str, algorithms: Sequence[str]) -> VerificationKey:
    if len(text) > MAX_PEM:
        raise UnusableKeyError("a key is too long")
    data = text.strip().encode()
    try:
        if b"BEGIN CERTIFICATE" in data:
            from cryptography import x509  # an agent without such keys never loads it

            public_key: Any = x509.load_pem_x509_certificate(data).public_key()
        else:
            public_key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKeyError("a key is neither a public key nor a certificate in PEM") from None
    usable = _fitting(public_key, algorithms or ALGORITHMS)
    return VerificationKey("", usable, public_key)


def _fitting(public_key: object, algorithms: Sequence[str]) -> tuple[str, ...]:
    """Those algorithms that a key is for by its type. Raises `UnusableKeyError` for a weak key."""
    match public_key:
        case RSAPublicKey():
            _check_rsa(public_key)
            own: tuple[str, ...] = _RSA
        case EllipticCurvePublicKey():
            own = (_CURVES.get(public_key.curve.name, ""),)
        case Ed25519PublicKey():
            own = ("EdDSA",)
        case _:
            own = ()
    found = tuple(each for each in own if each in algorithms)
    if not found:
        raise UnusableKeyError("its type or curve is not for an algorithm that is allowed")
    return found


def _check_rsa(key: RSAPublicKey) -> None:
    numbers = key.public_numbers()
    if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
        raise UnusableKeyError(f"an RSA key needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if not 3 <= numbers.e < _MAX_EXPONENT or not numbers.e & 1:  # noqa: PLR2004  # the smallest
        raise UnusableKeyError("the exponent of an RSA key is not one to use")
    if _has_roca(numbers.n):
        raise UnusableKeyError("an RSA key is of a kind whose private half can be computed (ROCA)")


def _has_roca(modulus: int) -> bool:
    """Whether it was made by the weak generator of CVE-2017-15361: a power of 65537 modulo each.

    Nemec and others, "The Return of Coppersmith's Attack", 2017, section 3.
    """
    return all(modulus % prime in powers for prime, powers in _ROCA_POWERS)


def _powers(prime: int) -> frozenset[int]:
    found, power = set(), 1
    while power not in found:
        found.add(power)
        power = power * _GENERATOR % prime
    return frozenset(found)


_ROCA_POWERS: Final = tuple((prime, _powers(prime)) for prime in _ROCA_PRIMES)


def _check_members(jwk: dict[str, Any], *names: str) -> None:
    """That they are unpadded base64url: libraries skip what is not."""
    for name in names:
        value = jwk.get(name)
        if not isinstance(value, str) or _BASE64URL.fullmatch(value) is None:
            raise UnusableKeyError("a member is not unpadded base64url")
        try:
            urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except ValueError:
            raise UnusableKeyError("a member is not unpadded base64url") from None
