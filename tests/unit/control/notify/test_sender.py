"""Each type of channel is sent its own way."""

import json
from pathlib import Path

import pytest

from actors import SystemWorld
from control.model.notices import Channel, ChannelSecrets, ChannelTerms, Server, Tls, Type
from control.notify import webhook
from control.notify.errors import PermanentDeliveryError
from control.notify.mail import InvitationMail
from control.notify.network_policy import NetworkPolicy
from control.notify.sender import NotificationSender, SenderConfig
from control.notify.smtp import MailRelay
from protocols.instant import SECOND
from tests.unit.control.notify.letters import AT, ONE
from tests.unit.control.notify.receiving import Authority, is_genuine, mailbox, receiver

NAME = "mail.example"
TO = ("a@b.example",)


async def here(host: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


def sender(post: SenderConfig = SenderConfig(), *, development: bool = True) -> NotificationSender:  # noqa: B008
    """That may reach this machine, or not."""
    return NotificationSender(post, NetworkPolicy(development=development), here, SystemWorld())


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
            await sender().send_message(channel(Type.WEBHOOK), secrets, ONE)
            _, headers, body = hook.requests[-1]
            assert is_genuine(webhook.encode_webhook_key(new), headers, body)
            assert is_genuine(webhook.encode_webhook_key(old), headers, body) is genuine
        await sender().send_message(channel(Type.SLACK), ChannelSecrets(url=hook.url()), ONE)
        assert json.loads(hook.requests[-1][2])["blocks"]


async def test_mail_by_the_own_server_or_the_organizations() -> None:
    """Ours may be anywhere, for the settings say where; theirs may not."""
    with mailbox() as box:
        server = Server("127.0.0.1", box.port, Tls.PLAIN, "", "f@a.example")
        ours = sender(SenderConfig(MailRelay(server, trusted=True)), development=False)
        assert ours.can_mail
        assert (
            await ours.send_message(channel(Type.EMAIL, ChannelTerms(to=TO)), ChannelSecrets(), ONE)
            == ""
        )
        theirs = channel(Type.EMAIL, ChannelTerms(to=TO, server=server))
        with pytest.raises(PermanentDeliveryError):
            await ours.send_message(theirs, ChannelSecrets(), ONE)
        await sender().send_message(theirs, ChannelSecrets(), ONE)
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
        await sender(post).send_invitation(told)
        assert len(box.mails) == 1


async def test_without_a_server_there_is_no_mail() -> None:
    """Neither for channels nor for invitations, and that is final."""
    told = InvitationMail("i", TO[0], "Acme", "viewer", "acme/ann", "https://x.example/", AT, AT)
    with pytest.raises(PermanentDeliveryError):
        await sender().send_invitation(told)
    with pytest.raises(PermanentDeliveryError):
        await sender().send_message(channel(Type.EMAIL, ChannelTerms(to=TO)), ChannelSecrets(), ONE)
