"""What a restored database says of its restore."""

from typing import Final

from msgspec import Struct

RESTORED_ROW: Final = "restored"
"""Of `SYSTEM`: a `RestoreRecord` in JSON, until each node has put it on record at an opening."""


class RestoreRecord(Struct, frozen=True, kw_only=True):
    """A restore: of which backup, as it was at the commit number `commits`. Times are RFC 3339.

    `only`: the secrets and folders that were restored, if not all. `taken_away`: how many rows were
    changed or left out because of what audit logs say of later changes, by what was done.
    `awaited`: the nodes of the backup that have not put it on record yet. `recorded`: one has.
    """

    backup: str
    taken: str
    commits: int
    time: str
    tokens_kept: bool
    reason: str = ""
    only: list[str] = []
    taken_away: dict[str, int] = {}
    awaited: list[str] = []
    recorded: bool = False
