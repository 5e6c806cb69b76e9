"""What a restored database says of its restore."""

from typing import Final

from msgspec import Struct

RESTORED_ROW: Final = "restored"
"""Of `SYSTEM`: a `RestoreRecord` in JSON, until an opening has put it on record."""


class RestoreRecord(Struct, frozen=True, kw_only=True):
    """A restore: of which backup, as it was at the commit number `commits`. Times are RFC 3339.

    `only`: the secrets and folders that were restored, if not all. `taken_away`: how many rows were
    changed or left out because of what audit logs say of later changes, by what was done.
    """

    backup: str
    taken: str
    commits: int
    time: str
    tokens_kept: bool
    reason: str = ""
    only: list[str] = []
    taken_away: dict[str, int] = {}
