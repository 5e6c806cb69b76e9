"""A vault whose values are sealed as an agent seals them, so that they can be decrypted."""

from tests.contract.store.samples import put, secret, token, user
from tests.support.vaults import Vault
from vault.barrier import VALUE_FIELD
from vault.crypto.envelope import seal_value
from vault.crypto.sealed_value import ValuePlace
from vault.model.records import VersionRow
from vault.store.tables import SECRETS, TOKENS, USERS, VERSIONS

BATCH = 500


def sealed_version(vault: Vault, secret_id: str, number: int, value: bytes) -> VersionRow:
    """A version of a secret."""
    keyring = vault.keyring
    place = ValuePlace(keyring.org, keyring.vault, secret_id, number, VALUE_FIELD)
    sealed = seal_value(keyring.kek(keyring.active), place, value)
    return VersionRow(
        secret_id=secret_id,
        version=number,
        wrapped_dek=sealed.dek.to_bytes(),
        box=sealed.box.to_bytes(),
        kek_generation=sealed.generation,
        created_at=1,
        created_by="u1",
    )


def fill_sealed(vault: Vault, secrets: int, *, value: bytes = b"value-of-a-secret") -> None:
    """Make the vault, with so many secrets of one version each."""
    vault.create()
    vault.commit(put(USERS, user("ann")), put(TOKENS, token("accessor-1")))
    for first in range(0, secrets, BATCH):
        names = [f"secret/{n:06}" for n in range(first, min(first + BATCH, secrets))]
        vault.commit(
            put(SECRETS, *[secret(name) for name in names]),
            put(VERSIONS, *[sealed_version(vault, f"id-{name}", 1, value) for name in names]),
        )
