"""How a root key may be kept, as the configuration says: in a file, by key providers, in shares."""

from dataclasses import dataclass
from typing import Final

from vault.errors import UnavailableError
from vault.seal.key_providers import KeyProviders
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.shamir import ShamirRootKey
from vault.seal.seal_record import SealRecord


@dataclass(frozen=True)
class ConfiguredSeal:
    """One of `key_file` and `providers`; neither: people's shares."""

    key_file: FileRootKey | None = None
    providers: KeyProviders | None = None

    @property
    def type(self) -> str:
        """As `sys/seal-status` calls it."""
        if self.providers is not None:
            return self.providers.type
        return ShamirRootKey.kind if self.key_file is None else self.key_file.kind

    @property
    def opens_alone(self) -> bool:
        """Whether it takes nobody to unseal."""
        return self.key_file is not None or self.providers is not None

    def keeps(self, record: SealRecord) -> bool:
        """Whether the root key of this record is kept so."""
        if record.is_wrapped:
            return self.providers is not None and self.providers.has_wrapping(record)
        return self.providers is None and record.type == self.type


SHARES: Final = ConfiguredSeal()


@dataclass(frozen=True)
class ConfiguredSeals:
    """How the root key is to be kept, and how it was before where that is being changed."""

    current: ConfiguredSeal
    former: ConfiguredSeal | None = None

    def in_force(self, record: SealRecord) -> ConfiguredSeal:
        """The one that opens this record.

        Shares need no configuration, and what a key file holds is the one share of its vault.
        Raises `UnavailableError` (`seal_mismatch`) where the providers are not configured.
        """
        for seal in (self.current, self.former):
            if seal is not None and seal.keeps(record):
                return seal
        if record.is_wrapped:
            raise seal_mismatch_error(record)
        return SHARES

    def is_migrating(self, record: SealRecord) -> bool:
        """Whether the root key is kept otherwise than it is to be, and can be moved."""
        if self.current.keeps(record):
            return False
        return not record.is_wrapped or (self.former is not None and self.former.keeps(record))

    async def aclose(self) -> None:
        """Let go of the key providers."""
        for seal in (self.current, self.former):
            if seal is not None and seal.providers is not None:
                await seal.providers.aclose()

    @property
    def uses_providers(self) -> bool:
        """Whether something may have to be tried again until it answers."""
        seals = (self.current, self.former)
        return any(seal is not None and seal.providers is not None for seal in seals)


def seal_mismatch_error(record: SealRecord) -> UnavailableError:
    """The error for a record that nothing in the configuration opens."""
    if not record.is_wrapped:
        how = f"the vault has a seal of type {record.type}"
    else:
        names = ", ".join(f"{each.provider} ({each.type})" for each in record.wrappings)
        how = f"the root key is wrapped by {names} and by no key provider of the configuration"
    return UnavailableError(
        "seal_mismatch",
        f"{how}: set the `encryption` that the vault has, or name it in `encryption.migrate_from`, "
        "and restart the agent",
    )
