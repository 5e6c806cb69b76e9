"""Each type of channel is sent its own way; a POST goes where it may, and its status decides."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import SystemWorld
from control.model.notices import Channel, ChannelSecrets, ChannelTerms, Server, Tls, Type
from control.notify import sender, webhook
from control.notify.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from control.notify.mail import InvitationMail
from control.notify.network_policy import NetworkPolicy
from control.notify.sender import HttpPoster, NotificationSender, SenderConfig
from control.notify.smtp import MailRelay
from protocols.instant import SECOND
from tests.unit.control.notify.letters import AT, ONE
from tests.unit.control.notify.receiving import (
    Authority,
    Receiver,
    endless,
    is_genuine,
    mailbox,
    receiver,
    silence,
    status,
)

NAME = "mail.example"
TO = ("a@b.example",)
HOST = "hooks.example"
OURS = NetworkPolicy(development=True)


async def here(host: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


def notification_sender(
    post: SenderConfig | None = None, *, development: bool = True
) -> NotificationSender:
    """That may reach this machine, or not."""
    return NotificationSender(
        post or SenderConfig(), NetworkPolicy(development=development), here, SystemWorld()
    )


def channel(kind: Type, terms: ChannelTerms = ChannelTerms()) -> Channel:  # noqa: B008
    """Of this type."""
    return Channel(
        "acme", "c", "c", kind, "", enabled=True, terms=terms, secret=b"", created_at=1,
        changed_at=1,
    )  # fmt: skip


async def test_webhook_and_slack() -> None:
    """One is signed with every key that counts, the other is blocks."""
    old, new = webhook.new_webhook_key(), webhook.new_webhook_key()
    with receiver() as hook:
        far, past = SystemWorld().now() + 3600 * SECOND, 1
        for until, genuine in ((far, True), (past, False)):
            secrets = ChannelSecrets(url=hook.url(), keys=(new, old), until=until)
            await notification_sender().send_message(channel(Type.WEBHOOK), secrets, ONE)
            _, headers, body = hook.requests[-1]
            assert is_genuine(webhook.encode_webhook_key(new), headers, body)
            assert is_genuine(webhook.encode_webhook_key(old), headers, body) is genuine
        await notification_sender().send_message(
            channel(Type.SLACK), ChannelSecrets(url=hook.url()), ONE
        )
        assert json.loads(hook.requests[-1][2])["blocks"]


async def test_mail_by_the_own_server_or_the_organizations() -> None:
    """Ours may be anywhere, for the settings say where; theirs may not."""
    with mailbox() as box:
        server = Server("127.0.0.1", box.port, Tls.PLAIN, "", "f@a.example")
        ours = notification_sender(SenderConfig(MailRelay(server, trusted=True)), development=False)
        assert ours.can_mail
        assert (
            await ours.send_message(channel(Type.EMAIL, ChannelTerms(to=TO)), ChannelSecrets(), ONE)
            == ""
        )
        theirs = channel(Type.EMAIL, ChannelTerms(to=TO, server=server))
        with pytest.raises(PermanentDeliveryError):
            await ours.send_message(theirs, ChannelSecrets(), ONE)
        await notification_sender().send_message(theirs, ChannelSecrets(), ONE)
        assert len(box.mails) == 2


async def test_the_settings_authorities_count(tmp_path: Path) -> None:
    """A certificate of the organization's own authority is believed, once the settings name it."""
    authority = Authority()
    authority.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with mailbox(authority.server(NAME), login=True) as box:
        relay = MailRelay(
            Server(NAME, box.port, Tls.STARTTLS, "u", "f@a.example"), "sesame", trusted=True
        )
        post = SenderConfig(relay, tmp_path / "ca.pem")
        told = InvitationMail(
            "i", TO[0], "Acme", "viewer", "acme/ann", "https://x.example/", AT, AT
        )
        await notification_sender(post).send_invitation(told)
        assert len(box.mails) == 1


async def test_without_a_server_there_is_no_mail() -> None:
    """Neither for channels nor for invitations, and that is final."""
    told = InvitationMail("i", TO[0], "Acme", "viewer", "acme/ann", "https://x.example/", AT, AT)
    with pytest.raises(PermanentDeliveryError):
        await notification_sender().send_invitation(told)
    with pytest.raises(PermanentDeliveryError):
        await notification_sender().send_message(
            channel(Type.EMAIL, ChannelTerms(to=TO)), ChannelSecrets(), ONE
        )


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Without TLS."""
    with receiver() as made:
        yield made


@pytest.fixture
def poster() -> HttpPoster:
    """That may reach this machine."""
    return HttpPoster(OURS, here, Authority().trust())


async def test_taken(poster: HttpPoster, hook: Receiver) -> None:
    """Body, path and headers as given; the host by its own name."""
    await poster.post(hook.url("localhost"), b"{}", {"X-A": "1"})
    ((path, headers, body),) = hook.requests
    assert (path, body, headers["x-a"]) == ("/hook?x=1", b"{}", "1")
    assert headers["host"] == f"localhost:{hook.port}"


async def test_statuses(poster: HttpPoster, hook: Receiver) -> None:
    """5xx, 404, 408 and 429 are tried again, as late as asked; other 4xx and redirects are not."""
    for code in (500, 503, 404, 408):
        hook.answers = [status(code)]
        with pytest.raises(TransientDeliveryError, match=str(code)):
            await poster.post(hook.url(), b"", {})
    hook.answers = [status(429, Retry_After="120")]
    with pytest.raises(TransientDeliveryError) as caught:
        await poster.post(hook.url(), b"", {})
    assert caught.value.retry_after == 120
    for code in (400, 401, 403, 410, 413):
        hook.answers = [status(code)]
        with pytest.raises(PermanentDeliveryError, match=str(code)):
            await poster.post(hook.url(), b"", {})


async def test_redirects_are_refused(poster: HttpPoster, hook: Receiver) -> None:
    """One request alone: what it is sent on to is not asked."""
    with receiver() as other:
        hook.answers = [status(307, Location=other.url())]
        with pytest.raises(PermanentDeliveryError, match="redirects"):
            await poster.post(hook.url(), b"secret", {})
        assert (len(hook.requests), other.requests) == (1, [])


async def test_silence_has_an_end(
    poster: HttpPoster, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is waited for longer than that."""
    monkeypatch.setattr(sender, "SECONDS", 0.3)
    hook.answers = [silence]
    with pytest.raises(TransientDeliveryError):
        await poster.post(hook.url(), b"", {})


async def test_an_answer_without_end_is_not_read(poster: HttpPoster, hook: Receiver) -> None:
    """Its status was enough."""
    hook.answers = [endless]
    await poster.post(hook.url(), b"", {})


async def test_the_certificate_is_for_the_name(hook: Receiver) -> None:
    """TLS to the address that was looked at, proven for the name that was given."""
    authority = Authority()
    poster = HttpPoster(OURS, here, authority.trust())
    with receiver(authority.server(HOST)) as made:
        await poster.post(made.url(HOST), b"", {})
        assert made.requests[0][1]["host"] == f"{HOST}:{made.port}"
        with pytest.raises(TransientDeliveryError, match="certificate"):
            await poster.post(made.url("other.example"), b"", {})
        assert len(made.requests) == 1


async def test_private_addresses_are_not_asked(hook: Receiver) -> None:
    """Without development this machine is nobody's webhook, by whichever name."""
    poster = HttpPoster(NetworkPolicy(), here, Authority().trust())
    for name in (HOST, "127.0.0.1", "localhost"):
        with pytest.raises(DeliveryError):
            await poster.post(f"https://{name}:{hook.port}/", b"", {})
    assert not hook.requests


async def test_nothing_private_by_plain_http(hook: Receiver) -> None:
    """Development means this machine, not every plain host."""

    async def away(host: str, port: int) -> list[str]:
        return ["93.184.215.14"]

    with pytest.raises(PermanentDeliveryError, match="TLS"):
        await HttpPoster(OURS, away, Authority().trust()).post("http://far.example/", b"", {})


async def test_too_long_is_not_sent(poster: HttpPoster, hook: Receiver) -> None:
    """A bound of our own."""
    with pytest.raises(PermanentDeliveryError, match="too long"):
        await poster.post(hook.url(), bytes(sender.MAX_BODY + 1), {})
    assert not hook.requests
