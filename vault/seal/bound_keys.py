"""What stages without access to keys are given in their place: functions made of the keyring."""

from collections.abc import Callable
from typing import Final

from vault.audit.keys import AuditKeys
from vault.authn.credential_scheme import LocatedCredential
from vault.crypto import credentials
from vault.crypto.digest import sha256
from vault.crypto.encoding import length_prefixed
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import KEY_SIZE, Keyring
from vault.crypto.note_signing import NoteKey, is_note_signature_valid

_AUDIT_LABEL: Final = b"freehold-audit-node-v1"


class PepperedScheme:
    """`vault.authn.credential_scheme.CredentialScheme` with this vault's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = HmacKey(pepper)

    def mint_token(self) -> credentials.MintedCredential:
        """A new token."""
        return credentials.mint_token(self._pepper)

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

    def matches(self, located: LocatedCredential, stored: bytes | None) -> bool:
        """Compare in constant time; the same work when nothing is stored."""
        if not isinstance(located, credentials.LocatedCredential):
            raise TypeError("what this scheme located is what it compares")
        return credentials.matches_stored_hash(located, stored)


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
