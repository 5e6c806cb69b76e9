"""The control plane's own keys: files in `keys.folder`, each made at the first start."""

from pathlib import Path
from typing import NamedTuple

from control.crypto import SEALING_KEY_BYTES, SigningKey, random_bytes, sha256
from protocols.pki import files
from protocols.pki.errors import PkiKeyError
from protocols.pki.keys import load_signing_key, new_signing_key, store_key


class SigningKeys(NamedTuple):
    """Ed25519, each for one use: policy bundles, audit cosignatures, frames of the link."""

    policy: SigningKey
    witness: SigningKey
    link: SigningKey

    @property
    def fingerprint(self) -> str:
        """A digest that identifies the keys and reveals nothing of them."""
        return sha256(b"".join(public_bytes(key) for key in self)).hex()


def read_signing_keys(folder: Path) -> SigningKeys:
    """All signing keys. Raises `PkiKeyError`."""
    return SigningKeys(*(read_signing_key(folder, name) for name in SigningKeys._fields))


def read_signing_key(folder: Path, name: str) -> SigningKey:
    """The Ed25519 key in `folder/name.pem`, made if it is missing. Raises `PkiKeyError`."""
    path = folder / f"{name}.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        store_key(path, new_signing_key())
    return load_signing_key(path)


def read_sealing_key(folder: Path) -> bytes:
    """The key that seals the control plane's secrets: 32 bytes in `folder/sealing.key`.

    It is made if it is missing. Without it second factors and identity providers have to be set up
    again: it belongs into the backup, and not beside the database's. Raises `PkiKeyError`.
    """
    path = folder / "sealing.key"
    if not path.exists():
        files.write_atomically(path, random_bytes(SEALING_KEY_BYTES), files.SECRET_MODE)
    key = files.read_file(path, secret=True)
    if len(key) != SEALING_KEY_BYTES:
        raise PkiKeyError(
            f"{path} is not {SEALING_KEY_BYTES} bytes: put it back from a backup (guides/people.md)"
        )
    return key


def public_bytes(key: SigningKey) -> bytes:
    """The raw 32-byte public key."""
    return key.public_key().public_bytes_raw()
