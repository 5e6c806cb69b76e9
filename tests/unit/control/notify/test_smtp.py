"""Mail arrives, or it is said why not, in a time that has an end."""

from collections.abc import Iterator
from email.message import EmailMessage
from functools import partial

import pytest
import trio
import trio.testing

from actors import SystemWorld
from control.model.notices import Server, Tls
from control.notify import smtp
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.notify.network_policy import NetworkPolicy
from control.notify.smtp import MailRelay, SmtpMailer
from tests.unit.control.notify.receiving import Authority, Mailbox, die, mailbox

NAME = "mail.example"


async def here(host: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


@pytest.fixture
def authority() -> Authority:
    """Trusted by `mailer`."""
    return Authority()


@pytest.fixture
def mailer(authority: Authority) -> SmtpMailer:
    """That may reach this machine."""
    return SmtpMailer(NetworkPolicy(development=True), here, authority.trust(), SystemWorld())


@pytest.fixture
def box(authority: Authority) -> Iterator[Mailbox]:
    """With STARTTLS, for who logs in."""
    with mailbox(authority.server(NAME), login=True) as made:
        yield made


def mail() -> EmailMessage:
    """Any."""
    made = EmailMessage()
    made["Subject"] = "s"
    made["Message-ID"] = "<1@a.example>"
    made.set_content("text")
    return made


def relay(
    port: int, *, tls: Tls = Tls.STARTTLS, password: str = "sesame", host: str = NAME
) -> MailRelay:
    """To that port."""
    username = "ann" if password else ""
    return MailRelay(Server(host, port, tls, username, "from@a.example"), password)


TO = ("to@b.example", "also@b.example")


async def test_starttls_and_login(mailer: SmtpMailer, box: Mailbox) -> None:
    """Taken once, for all recipients, by whom we logged in as; the certificate is the name's."""
    assert await mailer.send_mail(relay(box.port), mail(), TO) == ""
    (taken,) = box.mails
    assert (taken.mail_from, tuple(taken.rcpt_tos)) == ("from@a.example", TO)
    assert b"Message-ID: <1@a.example>" in (taken.original_content or b"")
    assert box.logins == [b"ann"]


async def test_a_wrong_password_is_final(mailer: SmtpMailer, box: Mailbox) -> None:
    """Trying again would only lock the account."""
    with pytest.raises(PermanentDeliveryError, match="login"):
        await mailer.send_mail(relay(box.port, password="wrong"), mail(), TO)
    assert not box.mails


async def test_another_certificate_is_not_believed(
    mailer: SmtpMailer, authority: Authority
) -> None:
    """Of another name, or of nobody we trust: no login, no mail."""
    for context in (authority.server("other.example"), Authority().server(NAME)):
        with mailbox(context, login=True) as box:
            with pytest.raises(TransientDeliveryError, match="certificate"):
                await mailer.send_mail(relay(box.port), mail(), TO)
            assert not box.mails
            assert not box.logins


async def test_who_lacks_starttls_gets_nothing(mailer: SmtpMailer) -> None:
    """No fall-back to plain text."""
    with mailbox() as box:
        with pytest.raises(PermanentDeliveryError, match="STARTTLS"):
            await mailer.send_mail(relay(box.port), mail(), TO)
        assert not box.mails


async def test_tls_from_the_first_byte(mailer: SmtpMailer, authority: Authority) -> None:
    """A server that speaks plain is not spoken to; nothing hangs."""
    with mailbox() as box:
        with pytest.raises(TransientDeliveryError):
            await mailer.send_mail(relay(box.port, tls=Tls.TLS, password=""), mail(), TO)
        assert not box.mails


async def test_refusals_by_their_code(mailer: SmtpMailer) -> None:
    """4: later; 5: never. One recipient of two refused: sent, and said."""
    with mailbox() as box:
        plain = relay(box.port, tls=Tls.PLAIN, password="")
        box.refuse = {"RCPT": "550 no such user"}
        with pytest.raises(PermanentDeliveryError, match="550"):
            await mailer.send_mail(plain, mail(), TO)
        box.refuse = {"RCPT": "451 greylisted"}
        with pytest.raises(TransientDeliveryError, match="451"):
            await mailer.send_mail(plain, mail(), TO)
        box.refuse = {"DATA": "552 too large"}
        with pytest.raises(PermanentDeliveryError, match="552"):
            await mailer.send_mail(plain, mail(), TO)
        box.refuse = {f"RCPT {TO[1]}": "550 gone"}
        assert await mailer.send_mail(plain, mail(), TO) == "1 of 2 recipients were refused"
        assert [m.rcpt_tos for m in box.mails] == [[TO[0]]]


async def test_a_server_that_dies_within_data(mailer: SmtpMailer) -> None:
    """It may have it or not: to be tried again."""
    with mailbox() as box:
        box.hook = die
        with pytest.raises(TransientDeliveryError):
            await mailer.send_mail(relay(box.port, tls=Tls.PLAIN, password=""), mail(), TO)


async def test_nobody_there(mailer: SmtpMailer) -> None:
    """A closed port is a failure like any other."""
    with mailbox() as box:
        port = box.port
    with pytest.raises(TransientDeliveryError):
        await mailer.send_mail(relay(port), mail(), TO)


async def test_a_drip_has_an_end(mailer: SmtpMailer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says a byte now and then: each wait is short, the whole is cut."""
    monkeypatch.setattr(smtp, "SECONDS", 0.3)
    async with drip() as port:
        with trio.fail_after(30), pytest.raises(TransientDeliveryError):
            await mailer.send_mail(relay(port), mail(), TO)


async def test_to_wait_behind_a_slow_server_is_no_failure(
    mailer: SmtpMailer, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place, held by a server that drips: the other mail is late, and goes all the same."""
    monkeypatch.setattr(smtp, "SECONDS", 2.0)
    mailer._places = trio.CapacityLimiter(1)

    async def slow(port: int) -> None:
        with pytest.raises(TransientDeliveryError):
            await mailer.send_mail(relay(port), mail(), TO)

    async with drip() as port, trio.open_nursery() as nursery:
        with trio.fail_after(60):
            nursery.start_soon(slow, port)
            await trio.testing.wait_all_tasks_blocked()
            assert await mailer.send_mail(relay(box.port), mail(), TO) == ""
    assert len(box.mails) == 1


async def test_cancelled_it_lets_go_at_once(
    mailer: SmtpMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread is waited for until its server is tired of it."""
    monkeypatch.setattr(smtp, "SECONDS", 600.0)
    async with drip() as port:
        with trio.fail_after(30), trio.move_on_after(0.2) as scope:
            await mailer.send_mail(relay(port), mail(), TO)
        assert scope.cancelled_caught


class drip:  # noqa: N801  # reads as a function
    """A server that never finishes its greeting."""

    async def __aenter__(self) -> int:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        serve = partial(trio.serve_tcp, self._talk, 0, host="127.0.0.1")
        listeners = await self._nursery.start(serve)
        port: int = listeners[0].socket.getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)

    async def _talk(self, stream: trio.SocketStream) -> None:
        try:
            while True:
                await stream.send_all(b"2")
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            return
