"""What a restored database says of its restore."""

from typing import Final

from msgspec import Struct

RESTORED_ROW: Final = "restored"
"""Of `SYSTEM`: a `RestoreRecord` in JSON, until an opening has put it on record."""


class RestoreRecord(Struct, frozen=True, kw_only=True):
    """A restore: of which backup, as it was at the commit number `commits`. Times are RFC 3339."""

    backup: str
    taken: str
    commits: int
    time: str
    tokens_kept: bool
    reason: str = ""
