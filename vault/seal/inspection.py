"""What is known of a seal without any key, from the database alone."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from actors import World
from vault.barrier import BREAK_GLASS_ROW, SEAL_ROW, break_glass_tampered_error
from vault.config.settings import EncryptionSettings
from vault.crypto.break_glass import BreakGlassRecord
from vault.crypto.errors import CryptoError
from vault.model.break_glass import BreakGlassState
from vault.seal.break_glass import state_of
from vault.seal.root_keys.factory import make_key_providers
from vault.seal.root_keys.provider import WrappedKey
from vault.seal.seal_record import SealRecord

ROWS: Final = (SEAL_ROW, BREAK_GLASS_ROW)
"""The rows of the system table that this is about."""


class ProviderWrapping(NamedTuple):
    """A key provider of the configuration, and the root key as it has wrapped it."""

    name: str
    type: str
    wrapped: WrappedKey | None


def provider_wrappings(
    record: SealRecord, settings: EncryptionSettings, world: World
) -> tuple[ProviderWrapping, ...]:
    """Of each provider of the configuration, in their order. None of them is asked."""
    return tuple(
        ProviderWrapping(each.name, each.type, record.wrapping_of(each.name, each.type))
        for each in make_key_providers(settings, world, {})
    )


def break_glass_state(record: SealRecord, rows: Mapping[str, bytes]) -> BreakGlassState:
    """What the row of the break-glass set says. Whether it is the vault's own takes the root key.

    Raises `TamperedError` (`break_glass_tampered`) for what no vault has written.
    """
    try:
        return state_of(
            BreakGlassRecord.decode(rows.get(BREAK_GLASS_ROW), record.org, record.vault)
        )
    except CryptoError:
        raise break_glass_tampered_error() from None
