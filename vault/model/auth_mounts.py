"""`AuthMountTable`: the auth methods that are enabled, by path and by id."""

from collections.abc import Iterable
from typing import Final

from vault.model.records import AuthMountRow

TOKEN_PATH: Final = "token/"  # always there, and no row
AUTH: Final = "auth/"


LISTED: Final = "unauth"
"""`AuthMountRow.listing_visibility` of mounts that anybody may see before a login."""
TOKEN_MOUNT: Final = AuthMountRow(
    id="token",
    path=TOKEN_PATH,
    accessor="auth_token",
    type="token",
    description="token based credentials",
    created_at=0,
    updated_at=0,
)
"""What stands for the mount of tokens, which has no row."""
MFA_MOUNT: Final = AuthMountRow(
    id="mfa", path="mfa/", accessor="mfa", type="mfa", created_at=0, updated_at=0
)
"""What stands for a mount of second factors. It is at no path: nobody logs in there."""
BUILT_IN_MOUNTS: Final = {row.id: row for row in (TOKEN_MOUNT, MFA_MOUNT)}
"""Mounts that have entries and no row, by id."""


class AuthMountTable:
    """An immutable snapshot that is replaced whole; a look-up is one dict access a segment."""

    def __init__(self, rows: Iterable[AuthMountRow] = ()) -> None:
        self._by_path = {row.path: row for row in rows}
        self._by_id = {row.id: row for row in self._by_path.values()}

    def replace(self, rows: Iterable[AuthMountRow]) -> None:
        """Take over a new set of mounts."""
        by_path = {row.path: row for row in rows}
        self._by_id = {row.id: row for row in by_path.values()}
        self._by_path = by_path

    def list_mounts(self) -> list[AuthMountRow]:
        """Every mount in path order."""
        return [self._by_path[path] for path in sorted(self._by_path)]

    def get(self, path: str) -> AuthMountRow | None:
        """The mount at exactly this path (with its closing `/`)."""
        return self._by_path.get(path)

    def find_by_id(self, mount_id: str) -> AuthMountRow | None:
        """The mount of this id."""
        return self._by_id.get(mount_id)

    def find_for_path(self, path: str) -> AuthMountRow | None:
        """The mount that `path` (without `auth/`) lies in. Mounts never nest: at most one."""
        if path.startswith(TOKEN_PATH):
            return TOKEN_MOUNT
        end = path.find("/")
        while end >= 0:
            row = self._by_path.get(path[: end + 1])
            if row is not None:
                return row
            end = path.find("/", end + 1)
        return None

    def find_overlapping(self, path: str) -> str:
        """Path of a mount above, at or below the folder `path`; empty: there is none."""
        above = self.find_for_path(path)
        if above is not None:
            return above.path
        return next((other for other in self._by_path if other.startswith(path)), "")
