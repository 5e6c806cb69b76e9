"""What handlers give back, for a dialect to put on its wire."""

from msgspec import Struct

from vault.model.records import AccessRow, MountRow, SecretRow, VersionRow


class SecretValue(Struct, frozen=True, kw_only=True):
    """A version and its value. `value` is None when the version is deleted or destroyed."""

    secret: SecretRow
    version: VersionRow
    value: bytes | None


class SecretInfo(Struct, frozen=True, kw_only=True):
    """Everything about a secret but its values; versions in ascending order."""

    secret: SecretRow
    versions: list[VersionRow]
    access: AccessRow
    mount: MountRow | None


class Written(Struct, frozen=True, kw_only=True):
    """The head and the version that a write has made."""

    secret: SecretRow
    version: VersionRow


class Page(Struct, frozen=True, kw_only=True):
    """Some secrets in name order; `cursor` is empty on the last page."""

    secrets: list[SecretRow]
    cursor: str


class Keys(Struct, frozen=True, kw_only=True):
    """Direct children of a folder in byte order."""

    keys: list[str]


class Session(Struct, frozen=True, kw_only=True):
    """A browser's session. Instants are Unix ns; `text` is the cookie's, when it was just opened.

    It ends at `expires_at` unless it is renewed, for `idle` ns each time, and at `ends_at` at last.
    """

    name: str
    policies: tuple[str, ...]
    root: bool
    accessor: str
    created_at: int
    expires_at: int
    ends_at: int
    idle: int
    text: str = ""

    def __repr__(self) -> str:
        return f"Session(accessor={self.accessor!r})"
