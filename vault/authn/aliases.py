"""Aliases: what an entity or an external group is called at an auth mount, in one spelling."""

from typing import Final, Protocol

from msgspec import Struct

from vault.errors import ValidationError
from vault.model.auth_mounts import AUTH, TOKEN_PATH, AuthMountTable
from vault.model.fold import fold_text
from vault.model.records import AuthMountRow
from vault.store.table import NAME_BYTES

MAX_ALIASES: Final = 16  # of one entity, at most one of a mount; each is a lookup of a request
MAX_METADATA: Final = 64  # entries, each at most 128 by 512 characters (as KV's custom_metadata)
MAX_METADATA_KEY: Final = 128
MAX_METADATA_VALUE: Final = 512
FOLDING_TYPES: Final = frozenset({"kerberos", "ldap", "radius", "userpass"})
"""Types of auth mounts whose sources take a name in any case for the same person."""


TOKEN_ACCESSOR: Final = "auth_token"


class AliasMount(Struct, frozen=True):
    """The auth mount of an alias. `path` is as OpenBao shows it (`auth/userpass/`)."""

    accessor: str
    path: str
    type: str


class AliasMounts(Protocol):
    """The auth mounts there are."""

    def find_alias_mount(self, accessor: str) -> AliasMount | None:
        """The mount of an accessor."""
        ...


class EnabledMounts:
    """As `AliasMounts`, of the auth mounts that are enabled, and that of tokens."""

    def __init__(self, mounts: AuthMountTable) -> None:
        self._mounts = mounts

    def find_alias_mount(self, accessor: str) -> AliasMount | None:
        """The mount of an accessor."""
        if accessor == TOKEN_ACCESSOR:
            return AliasMount(TOKEN_ACCESSOR, f"{AUTH}{TOKEN_PATH}", "token")
        rows = (row for row in self._mounts.list_mounts() if row.accessor == accessor)
        return next(map(alias_mount, rows), None)


def alias_mount(row: AuthMountRow) -> AliasMount:
    """The mount as an alias has it."""
    return AliasMount(row.accessor, f"{AUTH}{row.path}", row.type)


def alias_key(mount: AliasMount, name: str) -> str:
    """The key of a name at a mount. Raises `ValidationError` for one that cannot be a name.

    Two names that the source takes for one have one key, so nobody gets a second entity by
    another spelling (CVE-2025-6013). All others are told apart by their bytes.
    """
    if mount.type in FOLDING_TYPES:
        name = fold_text(name.strip())
    key = f"{mount.accessor}:{name}"
    if not name or not name.isprintable() or len(key.encode()) > NAME_BYTES:
        raise ValidationError(
            "alias_invalid",
            f"the name of an alias must be 1 to {NAME_BYTES - 64} bytes of printable text",
            field="name",
        )
    return key


def checked_metadata(metadata: dict[str, str], field: str = "metadata") -> dict[str, str]:
    """The metadata. Raises `ValidationError` where there is too much of it."""
    if len(metadata) > MAX_METADATA or any(
        len(key) > MAX_METADATA_KEY or len(text) > MAX_METADATA_VALUE
        for key, text in metadata.items()
    ):
        raise ValidationError(
            "metadata_invalid",
            f"{field} may have {MAX_METADATA} entries of {MAX_METADATA_KEY} by "
            f"{MAX_METADATA_VALUE} characters",
            field=field,
        )
    return metadata
