"""Messages as mail: plain text, and HTML that loads nothing and prints well."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Final, NamedTuple

from msgspec import Struct

from control.model.notices import Kind, Notice
from control.model.records import Severity
from control.notify.message import (
    NotificationMessage,
    describe_notice,
    format_time,
    message_title,
    notice_label,
    omitted_text,
    single_line,
)
from protocols.instant import SECOND

_COLOURS: Final = {
    Severity.INFO: "#2b6cb0",
    Severity.WARNING: "#975a16",
    Severity.CRITICAL: "#c53030",
}
_OVER: Final = "#276749"
_CELL: Final = "padding:8px 12px 8px 0;border-bottom:1px solid #d4d4d8;vertical-align:top"
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>@media print {{ a {{ text-decoration: none }} tr {{ break-inside: avoid }} }}</style></head>
<body style="margin:0;padding:24px;color:#18181b;background:#ffffff;font:15px/1.5 sans-serif">
<h1 style="font-size:18px;margin:0 0 16px">{title}</h1>
{body}
<p style="color:#52525b;font-size:13px;margin:24px 0 0">{foot}</p>
</body></html>
"""


class InvitationMail(Struct, frozen=True):
    """The content of an invitation's mail. `link` makes its holder a member, once."""

    id: str
    email: str
    organization: str
    role: str
    by: str
    link: str
    at: int
    expires_at: int


class MailParts(NamedTuple):
    """Subject, text and HTML."""

    subject: str
    text: str
    html: str


def render_mail(letter: NotificationMessage, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The mail to a channel's recipients."""
    html = _PAGE.format(
        title=escape(message_title(letter)), body=_table(letter), foot=_foot(letter)
    )
    return _mail(
        letter.id, letter.at, sender, to, MailParts(message_title(letter), _text(letter), html)
    )


def render_invitation(told: InvitationMail, sender: str) -> EmailMessage:
    """The mail to an invited person."""
    subject = single_line(f"You are invited to {told.organization} on Freehold", 120)
    until = f"It is good once, until {format_time(told.expires_at)}."
    first = (
        f"{single_line(told.by)} invites you to {single_line(told.organization)}, as {told.role}."
    )
    last = f"Whoever has this link can use it; pass it on to nobody. {until}"
    text = f"{first}\n\n{told.link}\n\n{last}\n"
    link = escape(told.link)
    body = f'<p>{escape(first)}</p>\n<p><a href="{link}">{link}</a></p>\n<p>{escape(last)}</p>'
    foot = "If you do not expect this, delete it."
    html = _PAGE.format(title=escape(subject), body=body, foot=foot)
    return _mail(told.id, told.at, sender, (told.email,), MailParts(subject, text, html))


def _mail(
    identifier: str, at: int, sender: str, to: tuple[str, ...], parts: MailParts
) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = parts.subject
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(at // SECOND, UTC))
    mail["Message-ID"] = f"<{identifier}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: no answering machine answers
    mail.set_content(parts.text)
    mail.add_alternative(parts.html, subtype="html")
    return mail


def _text(letter: NotificationMessage) -> str:
    lines = [message_title(letter), ""]
    for notice in letter.notices:
        about = f", agent {single_line(notice.vault)}" if notice.vault else ""
        label, code = notice_label(notice).upper(), single_line(notice.code)
        lines += [f"{format_time(notice.at)}  {label}  {code}{about}"]
        lines += [f"    {describe_notice(notice)}", ""]
    lines += [line for line in (omitted_text(letter), letter.link, f"Message {letter.id}") if line]
    return "\n".join(lines) + "\n"


def _table(letter: NotificationMessage) -> str:
    rows = "\n".join(_row(notice) for notice in letter.notices)
    end = f"\n<p>{escape(omitted_text(letter))}</p>" if letter.omitted else ""
    return f'<table style="border-collapse:collapse;width:100%">\n{rows}\n</table>{end}'


def _row(notice: Notice) -> str:
    colour = _OVER if notice.kind is Kind.RESOLVED else _COLOURS[notice.severity]
    about = " · ".join(escape(single_line(each)) for each in (notice.code, notice.vault) if each)
    return (
        f'<tr><td style="{_CELL};color:{colour};font-weight:bold">'
        f"{escape(notice_label(notice))}</td>"
        f'<td style="{_CELL}">{escape(describe_notice(notice))}<br>'
        f'<span style="color:#52525b;font-size:13px">{about} · '
        f"{format_time(notice.at)}</span></td></tr>"
    )


def _foot(letter: NotificationMessage) -> str:
    link = escape(letter.link)
    read_on = f'<a href="{link}">{link}</a> · ' if link else ""
    return f"{read_on}Message {escape(letter.id)}"
