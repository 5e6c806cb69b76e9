"""The keys of marks and anchors: HKDF-SHA256 subkeys of the keyring's row key, one for each use.

`seal` happens in each transaction of the store, and GCM with random nonces allows 2^32 of them
under one key (`aead`). So each epoch of the keyring has its own: at 500 transactions a second that
is more than the 90 days after which the KEK, and the epoch with it, changes.
"""

from functools import lru_cache
from typing import NoReturn

from vault.crypto.aead import KEY_SIZE, AeadKey
from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import CryptoError
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import Keyring

_LABEL = b"freehold-anchoring-v1"


class DerivedAnchorKeys:
    """`vault.seal.anchor.keys.AnchorKeys` of one vault. Does not show, copy or pickle its keys."""

    def __init__(self, keyring: Keyring) -> None:
        scope = [_LABEL, keyring.org.encode(), keyring.vault.encode()]

        def derive(*use: bytes) -> bytes:
            info = length_prefixed([*scope, *use])
            return hkdf_sha256(keyring.row_mac, salt=b"", info=info, length=KEY_SIZE)

        self.vault = keyring.vault
        self.mac = HmacKey(derive(b"mac")).tag
        self.row = HmacKey(derive(b"row")).tag
        self._sealing = lru_cache(lambda epoch: AeadKey(derive(b"rows", epoch.to_bytes(8))))

    def seal(self, epoch: int, totals: bytes) -> bytes:
        """The totals, readable by this vault alone."""
        return self._sealing(epoch).seal(totals, _LABEL)

    def open_(self, epoch: int, box: bytes) -> bytes:
        """What was sealed in that epoch. Raises `ValueError` for anything else."""
        try:
            return self._sealing(epoch).open_(box, _LABEL)
        except CryptoError:
            raise ValueError("its totals do not open") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")
