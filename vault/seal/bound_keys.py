"""What stages without access to keys are given in their place: functions made of the keyring."""

from collections.abc import Callable, Sequence
from typing import Final

from vault.audit.keys import AuditKeys
from vault.authn.credential_scheme import LocatedCredential
from vault.crypto import credentials
from vault.crypto.aead import AeadKey
from vault.crypto.digest import sha256
from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import AuthenticationFailed
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import KEY_SIZE, Keyring
from vault.crypto.note_signing import NoteKey, is_note_signature_valid

_AUDIT_LABEL: Final = b"freehold-audit-node-v1"
_LIMITS_LABEL: Final = b"freehold-limits-v1"


class PepperedScheme:
    """`vault.authn.credential_scheme.CredentialScheme` with this vault's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = HmacKey(pepper)

    def mint_token(self) -> credentials.MintedCredential:
        """A new token."""
        return credentials.mint_token(self._pepper)

    def mint_batch_token(self, content: bytes) -> credentials.MintedCredential:
        """A batch token with this content."""
        return credentials.mint_batch_token(self._pepper, content)

    def mint_session(self) -> credentials.MintedCredential:
        """A new browser's session."""
        return credentials.mint_session(self._pepper)

    def mint_api_key(self) -> credentials.MintedCredential:
        """A new API key."""
        return credentials.mint_api_key(self._pepper)

    def mint_accessor(self) -> str:
        """A handle on a token that does not authenticate."""
        return credentials.mint_accessor()

    def adopt(self, text: str) -> credentials.MintedCredential:
        """A token whose text somebody chose."""
        return credentials.adopt_token(self._pepper, text)

    def locate(self, text: str) -> credentials.LocatedCredential:
        """Where any presented text would be found; never raises."""
        return credentials.locate_credential(self._pepper, text)

    def seal_own(self, text: str, place: Sequence[str], content: bytes) -> bytes:
        """Seal what a credential keeps for itself."""
        key = credentials.own_key(self._pepper, text)
        return key.seal(content, credentials.own_context(place))

    def open_own(self, text: str, place: Sequence[str], box: bytes) -> bytes | None:
        """What was sealed; None: not by this text, or changed since."""
        key = credentials.own_key(self._pepper, text)
        try:
            return key.open_(box, credentials.own_context(place))
        except AuthenticationFailed:
            return None

    def matches(self, located: LocatedCredential, stored: bytes | None) -> bool:
        """Compare in constant time; the same work when nothing is stored."""
        if not isinstance(located, credentials.LocatedCredential):
            raise TypeError("what this scheme located is what it compares")
        return credentials.matches_stored_hash(located, stored)


class LimitSession:
    """`vault.cluster.shared_limits.SessionCipher` of one sender."""

    def __init__(self, key: AeadKey) -> None:
        self._key = key

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """A fresh box."""
        return self._key.seal(plaintext, aad)

    def open_or_none(self, box: bytes, aad: bytes) -> bytes | None:
        """What was sealed; None: not by this sender, or changed since."""
        try:
            return self._key.open_(box, aad)
        except AuthenticationFailed:
            return None


class LimitKeys:
    """`vault.cluster.shared_limits.LimitKeys` of this vault.

    The key is made of the audit log's, under a label of its own. Each sender has a key derived from
    it: a sender is one connection, which sends 40 messages a second at most, so no key comes near
    the bound of random nonces (`vault.crypto.aead`).
    """

    def __init__(self, keyring: Keyring) -> None:
        self._key = HmacKey(keyring.audit_mac).tag(_LIMITS_LABEL)
        self.channel = f"freehold.limits.{HmacKey(self._key).tag(b'channel')[:16].hex()}"

    def session(self, sender: bytes) -> LimitSession:
        """The cipher of a sender."""
        key = hkdf_sha256(self._key, salt=sender, info=_LIMITS_LABEL, length=KEY_SIZE)
        return LimitSession(AeadKey(key))


def bind_opaque_id(keyring: Keyring) -> Callable[[str, str], bytes]:
    """What names a secret or an identity to nobody else (docs/spec/link.md, `usage`): 16 bytes.

    Of its kind and its random id. The key is made of the audit log's, under a label of its own.
    """
    key = HmacKey(HmacKey(keyring.audit_mac).tag(b"freehold-usage-v1"))

    def of(kind: str, id_: str) -> bytes:
        return key.tag(f"{kind}\0{id_}".encode())[:16]

    return of


def bind_audit_keys(keyring: Keyring, node: str) -> AuditKeys:
    """The functions that the audit log of a node is written with.

    Each node signs with a key of its own. The MAC key is the vault's: a value reads the same in all
    logs.
    """
    scope = [_AUDIT_LABEL, *(part.encode() for part in (keyring.org, keyring.vault, node))]
    info = length_prefixed(scope)
    seed = hkdf_sha256(keyring.audit_seed, salt=b"", info=info, length=KEY_SIZE)
    note = NoteKey.from_seed(seed)
    return AuditKeys(
        digest=sha256,
        verify=is_note_signature_valid,
        mac=HmacKey(keyring.audit_mac).tag,
        sign=note.sign,
        public=note.public,
    )


def vault_digest(keyring: Keyring) -> bytes:
    """Which vault this is, to tell what it has made at other servers from what others have."""
    return sha256(f"{keyring.org} {keyring.vault}".encode())
