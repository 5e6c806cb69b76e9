"""A message before it has a form: what it tells, and the words that every form shares."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from control.model.notices import Kind, Notice
from control.model.records import Severity, covers
from protocols.instant import SECOND

MAX_WORDS: Final = 500  # characters of one notice's text
MAX_SUBJECT: Final = 120
_SEVEREST: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


class Letter(Struct, frozen=True):
    """`id` is the same at every attempt; `omitted`: notices that had no place any more.

    `url`: where the dashboard is; empty if that is not known.
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


def plain(text: str, limit: int = MAX_WORDS) -> str:
    """One line that can be shown everywhere: no control characters, bounded."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def word(notice: Notice) -> str:
    """How it is called."""
    match notice.kind:
        case Kind.RAISED:
            return str(notice.severity)
        case kind:
            return str(kind)


def sentence(notice: Notice) -> str:
    """What has happened."""
    text = plain(notice.message)
    return f"{text} ({notice.repeated} times more before)" if notice.repeated else text


def title(letter: Letter) -> str:
    """What a mail's subject and a message's heading say."""
    if len(letter.notices) == 1 and not letter.omitted:
        only = letter.notices[0]
        return plain(f"[Freehold {letter.org}] {word(only)}: {plain(only.message)}", MAX_SUBJECT)
    total = len(letter.notices) + letter.omitted
    return f"[Freehold {letter.org}] {total} notices, the severest {severest(letter)}"


def severest(letter: Letter) -> Severity:
    """Of all that it tells."""
    found = (s for s in _SEVEREST if any(covers(s, n.urgency) for n in letter.notices))
    return next(found, Severity.INFO)


def more(letter: Letter) -> str:
    """What is said of those that had no place; empty for none."""
    if not letter.omitted:
        return ""
    return f"and {letter.omitted} more, which had no place in the queue: all are in the dashboard"


def moment(at: int) -> str:
    """`2026-11-24 17:30:05 UTC`."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"
