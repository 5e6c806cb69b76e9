"""Each type of channel is sent its own way."""

import json
from pathlib import Path

import pytest

from actors import SystemWorld
from control.model.notices import Channel, Secrets, Server, Terms, Tls, Type
from control.notify import webhook
from control.notify.errors import RefusedError
from control.notify.mail import Invited
from control.notify.reach import Reach
from control.notify.sender import Post, Sender
from control.notify.smtp import Relay
from protocols.instant import SECOND
from tests.unit.control.notify.letters import AT, ONE
from tests.unit.control.notify.receiving import Authority, is_genuine, mailbox, receiver

NAME = "mail.example"
TO = ("a@b.example",)


async def here(host: str, port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


def sender(post: Post = Post(), *, development: bool = True) -> Sender:  # noqa: B008
    """That may reach this machine, or not."""
    return Sender(post, Reach(development=development), here, SystemWorld())


def channel(kind: Type, terms: Terms = Terms()) -> Channel:  # noqa: B008
    """Of this type."""
    return Channel(
        "acme", "c", "c", kind, "", enabled=True, terms=terms, secret=b"", created_at=1,
        changed_at=1,
    )  # fmt: skip


async def test_webhook_and_slack() -> None:
    """One is signed with every key that counts, the other is blocks."""
    old, new = webhook.new_key(), webhook.new_key()
    with receiver() as hook:
        far, past = SystemWorld().now() + 3600 * SECOND, 1
        for until, genuine in ((far, True), (past, False)):
            secrets = Secrets(url=hook.url(), keys=(new, old), until=until)
            await sender().send(channel(Type.WEBHOOK), secrets, ONE)
            _, headers, body = hook.requests[-1]
            assert is_genuine(webhook.shown(new), headers, body)
            assert is_genuine(webhook.shown(old), headers, body) is genuine
        await sender().send(channel(Type.SLACK), Secrets(url=hook.url()), ONE)
        assert json.loads(hook.requests[-1][2])["blocks"]


async def test_mail_by_the_own_server_or_the_organizations() -> None:
    """Ours may be anywhere, for the settings say where; theirs may not."""
    with mailbox() as box:
        server = Server("127.0.0.1", box.port, Tls.PLAIN, "", "f@a.example")
        ours = sender(Post(Relay(server, trusted=True)), development=False)
        assert ours.can_mail
        assert await ours.send(channel(Type.EMAIL, Terms(to=TO)), Secrets(), ONE) == ""
        theirs = channel(Type.EMAIL, Terms(to=TO, server=server))
        with pytest.raises(RefusedError):
            await ours.send(theirs, Secrets(), ONE)
        await sender().send(theirs, Secrets(), ONE)
        assert len(box.mails) == 2


async def test_the_settings_authorities_count(tmp_path: Path) -> None:
    """A certificate of the organization's own authority is believed, once the settings name it."""
    authority = Authority()
    authority.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with mailbox(authority.server(NAME), login=True) as box:
        relay = Relay(
            Server(NAME, box.port, Tls.STARTTLS, "u", "f@a.example"), "sesame", trusted=True
        )
        post = Post(relay, tmp_path / "ca.pem")
        told = Invited("i", TO[0], "Acme", "viewer", "acme/ann", "https://x.example/", AT, AT)
        await sender(post).invite(told)
        assert len(box.mails) == 1


async def test_without_a_server_there_is_no_mail() -> None:
    """Neither for channels nor for invitations, and that is final."""
    told = Invited("i", TO[0], "Acme", "viewer", "acme/ann", "https://x.example/", AT, AT)
    with pytest.raises(RefusedError):
        await sender().invite(told)
    with pytest.raises(RefusedError):
        await sender().send(channel(Type.EMAIL, Terms(to=TO)), Secrets(), ONE)
