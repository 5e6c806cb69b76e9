"""Queries of the events on record, and their pages. Pure."""

from typing import Final

from msgspec import Struct

from vault.errors import ValidationError
from vault.model.audit_row import AuditRow

MAX_PAGE: Final = 500  # rows; an answer of about 300 KB, of 4 MB with the longest texts
_MAX_CURSOR: Final = 18  # digits that are below 2^63


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Events for which all of this holds, newest first. Empty fields ask for nothing.

    `since` and `until` (both inclusive) are Unix nanoseconds; `actor` is an id or a name; `path` is
    a prefix; `cursor` is a former page's.
    """

    since: int = 0
    until: int = 0
    actor_id: str = ""
    actor: str = ""
    operation: str = ""
    path: str = ""
    result: str = ""
    request_id: str = ""
    cursor: str = ""
    limit: int = 100

    def exact_filters(self) -> dict[str, str | int | bool]:
        """The fields that have to be equal, by name."""
        wanted = {
            "actor_id": self.actor_id,
            "operation": self.operation,
            "result": self.result,
            "request_id": self.request_id,
        }
        return {name: value for name, value in wanted.items() if value}

    def validated_cursor(self) -> int | None:
        """The record number to go on below. Raises `ValidationError` naming the faulty field."""
        if not 1 <= self.limit <= MAX_PAGE:
            raise ValidationError("limit_invalid", f"limit is 1 to {MAX_PAGE}", field="limit")
        if not self.cursor:
            return None
        if not (self.cursor.isascii() and self.cursor.isdigit()) or len(self.cursor) > _MAX_CURSOR:
            raise ValidationError("cursor_invalid", "this cursor is not ours", field="cursor")
        return int(self.cursor)


class AuditPage(Struct, frozen=True):
    """Some events, newest first; `cursor` asks for older ones, empty if there are none.

    A page may be short, or empty, and have a cursor.
    """

    events: list[AuditRow]
    cursor: str = ""
