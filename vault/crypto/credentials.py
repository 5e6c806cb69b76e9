"""API keys and service tokens: minted here, stored as keyed hashes, found by id.

    API key         fh_<id: 16 base32>_<secret: 43 base62>_<crc32: 8 hex>
    service token   s.<id: 16 base32><secret: 43 base62>

The id is 80 random bits in lower-case base32: it names the row, is not secret, and survives a
database that folds case. The secret is 256 random bits; the row keeps HMAC-SHA256(pepper, secret),
so a stolen database gives nothing to present, and nothing to test guesses against without the
pepper from the keyring. A slow hash (Argon2) defends secrets that can be guessed; a 256-bit one
cannot. The CRC is no security: it lets a scanner, and `parse`, tell a typo from a key.

    batch token     b.<salt and box: base64url>

A batch token is its own row: its content is sealed under a key that is derived for it alone, from
the pepper and its salt. It is opened, and not looked up.

    browser's session   <secret: 43 base62>:<secret: 43 base62>

A session has two independent secrets, one for the cookie and one for the page
(`protocols.http.session_key`). It is looked up as a chosen token is: by a keyed hash of the whole.

A token may also be any text an operator chose (`agent dev --root-token-file`): its id is a keyed
hash of the text, so it too is found by id and shows nothing of itself.

Unknown id or wrong secret: the caller hashes once and compares once, either way.
"""

import hmac
import re
import zlib
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from protocols.http.session_key import credential_of
from vault.crypto import aead
from vault.crypto.aead import AeadKey
from vault.crypto.encoding import BASE62, base62, length_prefixed
from vault.crypto.errors import CryptoError, MalformedCredential
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import TAG_SIZE, HmacKey
from vault.crypto.random import random_bytes

ID_SIZE = 10
SECRET_SIZE = 32
ACCESSOR_SIZE = 15
MIN_TOKEN_LENGTH = 4
"""Characters of a chosen token: short ones are for a dev agent on loopback."""
MAX_TOKEN_LENGTH = 512
"""Characters of a chosen token: well under any header bound."""

DUMMY_HASH = bytes(TAG_SIZE)
"""Stands for the stored hash of an id nobody has. No secret with this hash can be found."""

_API_KEY = "fh_"
_TOKEN = "s."
_BATCH = "b."
_SALT_SIZE = 16
_BATCH_DOMAIN = b"freehold-batch-token-v1\0"
_SECRET_DOMAIN = b"freehold-credential-secret-v1\0"
_CHOSEN_DOMAIN = b"freehold-chosen-token-id-v1\0"
_OWN_DOMAIN = b"freehold-credential-own-content-v1\0"
_SHAPE = re.compile(
    rf"(?:fh_([a-z2-7]{{16}})_([{BASE62}]{{43}})_([0-9a-f]{{8}})"
    rf"|s\.([a-z2-7]{{16}})([{BASE62}]{{43}}))"
)
_CRC_LENGTH = 9
"""Underscore and eight digits."""


class CredentialKind(StrEnum):
    """Which table a credential is looked up in."""

    API_KEY = "api-key"
    TOKEN = "token"
    BATCH = "batch-token"


class MintedCredential(NamedTuple):
    """A new credential. `text` is shown once; the row keeps `id` and `secret_hash`."""

    id: str
    text: str
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"Minted(id={self.id!r})"


class ParsedCredential(NamedTuple):
    """The parts of a well-formed credential."""

    kind: CredentialKind
    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"ParsedCredential(kind={self.kind!s}, id={self.id!r})"


class LocatedCredential(NamedTuple):
    """Where to look a presented credential up, and what its row must hold.

    Of a batch token `secret_hash` is its content; empty: it does not open.
    """

    kind: CredentialKind
    id: str
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"Located(kind={self.kind!s}, id={self.id!r})"


def mint_api_key(pepper: HmacKey) -> MintedCredential:
    """A new API key."""
    name, secret = _base32(ID_SIZE), base62(random_bytes(SECRET_SIZE))
    body = f"{_API_KEY}{name}_{secret}"
    return MintedCredential(name, f"{body}_{_crc(body)}", hash_secret(pepper, secret.encode()))


def mint_token(pepper: HmacKey) -> MintedCredential:
    """A new service token."""
    name, secret = _base32(ID_SIZE), base62(random_bytes(SECRET_SIZE))
    return MintedCredential(name, f"{_TOKEN}{name}{secret}", hash_secret(pepper, secret.encode()))


def mint_session(pepper: HmacKey) -> MintedCredential:
    """A browser's session: two secrets of 256 bits, of the cookie and of the page.

    It is stored and found by both together, so that neither says anything of the other.
    """
    cookie, key = (base62(random_bytes(SECRET_SIZE)) for _ in range(2))
    return adopt_token(pepper, credential_of(cookie, key))


def mint_accessor() -> str:
    """A handle on a token that does not authenticate: 120 random bits, 24 characters."""
    return _base32(ACCESSOR_SIZE)


def adopt_token(pepper: HmacKey, text: str) -> MintedCredential:
    """A token whose text an operator chose: 4 to 512 visible ASCII characters.

    Only as strong as the text. Raises `MalformedCredential` for another text, and for one that
    has the form of an API key.
    """
    if not MIN_TOKEN_LENGTH <= len(text) <= MAX_TOKEN_LENGTH or not all(
        "!" <= c <= "~" for c in text
    ):
        raise MalformedCredential("a chosen token is 4 to 512 visible ASCII characters")
    kind, name, secret_hash = locate_credential(pepper, text)
    if kind is not CredentialKind.TOKEN:
        raise MalformedCredential("a chosen token may not look like an API key")
    return MintedCredential(name, text, secret_hash)


def parse_credential(text: str) -> ParsedCredential:
    """The parts of an API key or service token.

    Raises `MalformedCredential` for any other text; the error does not quote it.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise MalformedCredential("neither an API key nor a service token")
    key_id, key_secret, crc, token_id, token_secret = match.groups()
    if key_id is None:
        return ParsedCredential(CredentialKind.TOKEN, token_id, token_secret.encode())
    if crc != _crc(text[:-_CRC_LENGTH]):
        raise MalformedCredential("an API key with a wrong checksum: mistyped or cut")
    return ParsedCredential(CredentialKind.API_KEY, key_id, key_secret.encode())


def mint_batch_token(pepper: HmacKey, content: bytes) -> MintedCredential:
    """A batch token with this content, which no row has."""
    salt = random_bytes(_SALT_SIZE)
    box = aead.seal(_batch_key(pepper, salt), content, _BATCH_DOMAIN)
    text = _BATCH + urlsafe_b64encode(salt + box).decode().rstrip("=")
    return MintedCredential(_batch_id(pepper, text), text, b"")


def _open_batch(pepper: HmacKey, text: str) -> bytes:
    """The content of a batch token; empty for what is none of this vault. One spelling counts."""
    encoded = text.removeprefix(_BATCH)
    try:
        data = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if urlsafe_b64encode(data).decode().rstrip("=") != encoded:
            return b""
        salt, box = data[:_SALT_SIZE], data[_SALT_SIZE:]
        return aead.open_(_batch_key(pepper, salt), box, _BATCH_DOMAIN)
    except (ValueError, CryptoError):
        return b""


def _batch_key(pepper: HmacKey, salt: bytes) -> bytes:
    """The key of one batch token: it seals once, so its nonce cannot matter."""
    return hkdf_sha256(
        pepper.tag(_BATCH_DOMAIN), salt=salt, info=_BATCH_DOMAIN, length=aead.KEY_SIZE
    )


def _batch_id(pepper: HmacKey, text: str) -> str:
    return _name(pepper.tag(_BATCH_DOMAIN + text.encode("utf-8", "surrogatepass"))[:ID_SIZE])


def hash_secret(pepper: HmacKey, secret: bytes) -> bytes:
    """The 32-byte keyed hash under which a secret is stored."""
    return pepper.tag(_SECRET_DOMAIN + secret)


def own_key(pepper: HmacKey, text: str) -> AeadKey:
    """The key of what a credential keeps for itself.

    HMAC-SHA256 under the pepper is a pseudo-random function, and the label its domain: neither the
    stored hash of the secret nor the keyring alone gives the key. Each box has a random nonce, and
    a token that writes 2^32 of them does nothing else for years (`aead`).
    """
    return AeadKey(pepper.tag(_OWN_DOMAIN + text.encode("utf-8", "surrogatepass")))


def own_context(place: Sequence[str]) -> bytes:
    """What such a box is bound to: its place, whose parts cannot run into each other."""
    return length_prefixed([_OWN_DOMAIN, *(part.encode() for part in place)])


def locate_credential(pepper: HmacKey, text: str) -> LocatedCredential:
    """Kind, id and hash of whatever a client presented. Never raises.

    Text that is no well-formed credential is a chosen token, or a wrong guess at one.
    """
    if text.startswith(_BATCH):
        return LocatedCredential(
            CredentialKind.BATCH, _batch_id(pepper, text), _open_batch(pepper, text)
        )
    try:
        kind, name, secret = parse_credential(text)
    except MalformedCredential:
        chosen = text.encode("utf-8", "surrogatepass")
        name = _name(pepper.tag(_CHOSEN_DOMAIN + chosen)[:ID_SIZE])
        return LocatedCredential(CredentialKind.TOKEN, name, hash_secret(pepper, chosen))
    return LocatedCredential(kind, name, hash_secret(pepper, secret))


def matches_stored_hash(located: LocatedCredential, stored: bytes | None) -> bool:
    """Whether the row's hash is that of the presented secret, in constant time.

    `stored` is None when no row has the id: the same work is done on `DUMMY_HASH`, and it is False.
    """
    equal = hmac.compare_digest(located.secret_hash, DUMMY_HASH if stored is None else stored)
    return equal and stored is not None


def _base32(size: int) -> str:
    return _name(random_bytes(size))


def _name(data: bytes) -> str:
    """Lower-case base32 (RFC 4648 section 6); sizes are multiples of 5, so it needs no padding."""
    return b32encode(data).decode().lower()


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
