"""Messages for Slack incoming webhooks: blocks of plain text, in which nothing is markup."""

from typing import Any, Final

import msgspec

from control.notify.message import (
    NotificationMessage,
    describe_notice,
    format_time,
    message_title,
    notice_label,
    omitted_text,
    single_line,
)

MAX_SHOWN: Final = 20  # notices; Slack takes 50 blocks
MAX_HEADER: Final = 150
MAX_TEXT: Final = 2900  # of a section; Slack takes 3,000 characters
HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "Freehold"}


def slack_body(letter: NotificationMessage) -> bytes:
    """The JSON body. `text` is what phones show; there `&`, `<` and `>` are escaped."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _text(message_title(letter), MAX_HEADER)}
    ]
    for notice in letter.notices[:MAX_SHOWN]:
        said = f"{notice_label(notice).upper()}: {describe_notice(notice)}"
        about = " · ".join(filter(None, (notice.code, notice.vault, format_time(notice.at))))
        blocks.append({"type": "section", "text": _text(f"{said}\n{single_line(about)}", MAX_TEXT)})
    hidden = len(letter.notices) - MAX_SHOWN
    foot = [f"and {hidden} more: all are in the dashboard"] if hidden > 0 else []
    foot += [line for line in (omitted_text(letter), letter.link, f"Message {letter.id}") if line]
    blocks.append({"type": "context", "elements": [_text(line, MAX_TEXT) for line in foot]})
    return msgspec.json.encode({"text": _escaped(message_title(letter)), "blocks": blocks})


def _text(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:limit], "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
