"""A message independent of its form, and the texts that every form shares."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from control.model.notices import Kind, Notice
from control.model.records import Severity, is_at_least
from protocols.instant import SECOND

MAX_TEXT: Final = 500  # characters of one notice's text
MAX_SUBJECT: Final = 120
_SEVEREST: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


class NotificationMessage(Struct, frozen=True):
    """`id` is the same at every attempt; `omitted`: notices that a full queue dropped.

    `url`: where the dashboard is; empty if unknown.
    """

    id: str
    org: str
    at: int
    notices: tuple[Notice, ...]
    omitted: int = 0
    url: str = ""

    @property
    def link(self) -> str:
        """Where to read on."""
        return f"{self.url}/alerts?org={self.org}" if self.url else ""


def single_line(text: str, limit: int = MAX_TEXT) -> str:
    """One line that can be shown everywhere: no control characters, bounded."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def notice_label(notice: Notice) -> str:
    """The label of a notice."""
    match notice.kind:
        case Kind.RAISED:
            return str(notice.severity)
        case kind:
            return str(kind)


def describe_notice(notice: Notice) -> str:
    """What has happened."""
    text = single_line(notice.message)
    return f"{text} ({notice.repeated} times more before)" if notice.repeated else text


def message_title(letter: NotificationMessage) -> str:
    """The subject of a mail and the heading of a message."""
    if len(letter.notices) == 1 and not letter.omitted:
        only = letter.notices[0]
        return single_line(
            f"[Freehold {letter.org}] {notice_label(only)}: {single_line(only.message)}",
            MAX_SUBJECT,
        )
    total = len(letter.notices) + letter.omitted
    return f"[Freehold {letter.org}] {total} notices, the severest {highest_severity(letter)}"


def highest_severity(letter: NotificationMessage) -> Severity:
    """The highest severity of its notices."""
    found = (
        s for s in _SEVEREST if any(is_at_least(s, n.effective_severity) for n in letter.notices)
    )
    return next(found, Severity.INFO)


def omitted_text(letter: NotificationMessage) -> str:
    """The sentence about dropped notices; empty for none."""
    if not letter.omitted:
        return ""
    return f"and {letter.omitted} more, which had no place in the queue: all are in the dashboard"


def format_time(at: int) -> str:
    """`2026-11-24 17:30:05 UTC`."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"
