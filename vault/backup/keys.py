"""What the keyring gives to backups: keys for the file, for its manifest, and to check its rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vault.backup.format import Header, damaged, wrap_context
from vault.barrier import HmacRowGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.backup_keys import BackupKeys, Identity, KeyWrap, Recipient
from vault.crypto.errors import CryptoError
from vault.crypto.keyring import Keyring
from vault.errors import AuthenticationError, UnavailableError


@dataclass(frozen=True)
class VaultKeys:
    """The keys of one vault, of whatever epoch of its keyring."""

    keyring: Keyring
    anchor: DerivedAnchorKeys = field(init=False)
    guard: HmacRowGuard = field(init=False)
    backup: BackupKeys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor", DerivedAnchorKeys(self.keyring))
        object.__setattr__(self, "guard", HmacRowGuard(self.keyring))
        object.__setattr__(self, "backup", BackupKeys(self.keyring))


def open_keyring(header: Header, root_key: bytes) -> VaultKeys:
    """The keys of the backup's own vault. Raises `AuthenticationError` (`root_key_wrong`)."""
    try:
        keyring = Keyring.decode(root_key, header.keyring, org=header.org, vault=header.vault)
    except CryptoError:
        raise AuthenticationError(
            "root_key_wrong",
            "this root key does not open the keyring of the backup: use the key file or the shares "
            "that were in force when the backup was made",
        ) from None
    return VaultKeys(keyring)


def wrap_file_key(
    header: Header, file_key: bytes, keys: BackupKeys, recipients: Iterable[Recipient]
) -> tuple[KeyWrap, ...]:
    """The file key for the recipients, or for the vault itself if there are none."""
    context = wrap_context(header)
    wraps = tuple(recipient.wrap(file_key, context) for recipient in recipients)
    return wraps or (keys.wrap(file_key, context),)


def unwrap_file_key(header: Header, keys: BackupKeys, identity: Identity | None) -> bytes:
    """The file key.

    Raises `UnavailableError` (`backup_identity_required`) for a backup that is for other
    recipients, `TamperedError` (`backup_damaged`).
    """
    context = wrap_context(header)
    try:
        for wrap in header.keys:
            if wrap.kind == "keyring":
                return keys.unwrap(wrap, context)
            if identity is not None and wrap.recipient == identity.recipient.text:
                return identity.unwrap(wrap, context)
    except CryptoError:
        raise damaged("its key does not open") from None
    recipients = ", ".join(wrap.recipient for wrap in header.keys)
    raise UnavailableError(
        "backup_identity_required",
        f"the backup is for {recipients}: give the file with that identity",
    )
