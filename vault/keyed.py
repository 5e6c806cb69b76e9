"""What stages without access to keys are given in their place: functions made of the keyring."""

from collections.abc import Callable

from vault.audit.keys import AuditKeys
from vault.authn.credential_scheme import LocatedCredential
from vault.crypto import credentials
from vault.crypto.digest import sha256
from vault.crypto.keyring import Keyring
from vault.crypto.mac import MacKey
from vault.crypto.note import NoteKey, is_signed


class Scheme:
    """`vault.authn.credential_scheme.CredentialScheme` with this vault's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = MacKey(pepper)

    def mint_token(self) -> credentials.Minted:
        """A new token."""
        return credentials.mint_token(self._pepper)

    def mint_session(self) -> credentials.Minted:
        """A new browser's session."""
        return credentials.mint_session(self._pepper)

    def mint_api_key(self) -> credentials.Minted:
        """A new API key."""
        return credentials.mint_api_key(self._pepper)

    def mint_accessor(self) -> str:
        """A handle on a token that does not authenticate."""
        return credentials.mint_accessor()

    def adopt(self, text: str) -> credentials.Minted:
        """A token whose text somebody chose."""
        return credentials.adopt(self._pepper, text)

    def locate(self, text: str) -> credentials.Located:
        """Where any presented text would be found; never raises."""
        return credentials.locate(self._pepper, text)

    def matches(self, located: LocatedCredential, stored: bytes | None) -> bool:
        """Compare in constant time; the same work when nothing is stored."""
        if not isinstance(located, credentials.Located):
            raise TypeError("what this scheme located is what it compares")
        return credentials.matches(located, stored)


def opaque_id(keyring: Keyring) -> Callable[[str, str], bytes]:
    """What names a secret or an identity to nobody else (docs/spec/link.md, `usage`): 16 bytes.

    Of its kind and its random id. The key is made of the audit log's, under a label of its own.
    """
    key = MacKey(MacKey(keyring.audit_mac).tag(b"freehold-usage-v1"))

    def of(kind: str, id_: str) -> bytes:
        return key.tag(f"{kind}\0{id_}".encode())[:16]

    return of


def audit_keys(keyring: Keyring) -> AuditKeys:
    """The functions that the audit log is written with."""
    note = NoteKey.from_seed(keyring.audit_seed)
    return AuditKeys(
        digest=sha256,
        verify=is_signed,
        mac=MacKey(keyring.audit_mac).tag,
        sign=note.sign,
        public=note.public,
    )
