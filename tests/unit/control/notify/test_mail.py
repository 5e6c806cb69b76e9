"""Mail is well-formed, printable, and nothing in it is markup of somebody else's."""

import email
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

from control.notify.mail import InvitationMail, render_invitation, render_mail
from tests.unit.control.notify.letters import AT, BAD, EVIL, ONE

TO = ("a@b.example", "c@d.example")


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outward: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One."""
        self.tags.add(tag)
        self.outward += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        """Text."""
        self.words += data


def parts(mail: EmailMessage) -> tuple[str, str]:
    """Text and HTML as a client gets them from the wire."""
    again = email.message_from_bytes(mail.as_bytes(), policy=default)
    text, html = again.get_body(("plain",)), again.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_a_letter() -> None:
    """Both forms say it; its id is the message's; no answering machine answers."""
    mail = render_mail(ONE, "freehold@acme.example", TO)
    assert mail["Message-ID"] == "<d1@acme.example>"
    assert (mail["To"], mail["Auto-Submitted"]) == (", ".join(TO), "auto-generated")
    text, html = parts(mail)
    for form in (text, html):
        assert "agent v1 is gone" in form
        assert "https://control.example/alerts?org=acme" in form
        assert "2026-09-21 14:13:20 UTC" in form
    assert Tags(html).outward == ["https://control.example/alerts?org=acme"]
    assert "@media print" in html


def test_what_is_said_stays_text() -> None:
    """No tag, no header comes of a message; it is shown as it is."""
    mail = render_mail(BAD, "freehold@acme.example", TO)
    assert mail["Bcc"] is None
    assert b"\nBcc:" not in mail.as_bytes()
    seen = Tags(parts(mail)[1])
    assert "script" not in seen.tags
    assert "<script>alert(1)</script> & <!channel>" in seen.words
    assert "and 2 more" in seen.words


def test_an_invitation() -> None:
    """Who, where, as what, the link; an organization's title is text as well."""
    told = InvitationMail(
        "i1", TO[0], EVIL, "viewer", "acme/ann", "https://x.example/#invitation=fhi_1", AT, AT
    )
    mail = render_invitation(told, "freehold@acme.example")
    assert mail["To"] == TO[0]
    text, html = parts(mail)
    assert told.link in text
    seen = Tags(html)
    assert seen.outward == [told.link]
    assert "script" not in seen.tags
    assert "acme/ann invites you to <script>" in seen.words
