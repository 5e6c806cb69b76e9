"""One letter by one channel, whatever its type."""

import ssl
from pathlib import Path

from msgspec import Struct

from actors import World
from control.model.notices import Channel, Secrets, Type
from control.notify import slack, webhook
from control.notify.errors import RefusedError
from control.notify.letter import Letter
from control.notify.mail import Invited, invitation_of, mail_of
from control.notify.post import Poster
from control.notify.reach import Reach, Resolve
from control.notify.smtp import Mailer, Relay
from protocols.instant import SECOND


class Post(Struct, frozen=True):
    """What the settings say: the control plane's own mail server, and whom to trust beside."""

    relay: Relay | None = None
    authorities: Path | None = None


class Sender:
    """Sends."""

    def __init__(self, post: Post, reach: Reach, resolve: Resolve, world: World) -> None:
        """Raises `OSError` for authorities that cannot be read."""
        tls = ssl.create_default_context()
        if post.authorities is not None:
            tls.load_verify_locations(post.authorities)
        self._relay = post.relay
        self._world = world
        self._mailer = Mailer(reach, resolve, tls, world)
        self._poster = Poster(reach, resolve, tls)

    @property
    def can_mail(self) -> bool:
        """Whether there is a mail server of our own."""
        return self._relay is not None

    async def send(self, channel: Channel, secrets: Secrets, letter: Letter) -> str:
        """Raises `UndeliveredError`; returns what is worth saying of it all the same."""
        match channel.type:
            case Type.EMAIL:
                relay, to = self._relay_of(channel, secrets), channel.terms.to
                mail = mail_of(letter, relay.server.sender, to)
                return await self._mailer.send(relay, mail, to)
            case Type.WEBHOOK:
                await self._signed(secrets, letter)
            case Type.SLACK:
                await self._poster.post(secrets.url, slack.body_of(letter), slack.HEADERS)
        return ""

    async def invite(self, told: Invited) -> str:
        """Mail somebody who was invited. Raises `UndeliveredError`."""
        if self._relay is None:
            raise RefusedError("the control plane has no mail server (notify.mail in its settings)")
        mail = invitation_of(told, self._relay.server.sender)
        return await self._mailer.send(self._relay, mail, (told.email,))

    async def _signed(self, secrets: Secrets, letter: Letter) -> None:
        now, body = self._world.wall(), webhook.body_of(letter)
        keys = secrets.keys if now < secrets.until else secrets.keys[:1]
        headers = webhook.headers_of(letter.id, body, keys, now // SECOND)
        await self._poster.post(secrets.url, body, headers)

    def _relay_of(self, channel: Channel, secrets: Secrets) -> Relay:
        if channel.terms.server is not None:
            return Relay(channel.terms.server, secrets.password)
        if self._relay is None:
            raise RefusedError("the control plane has no mail server (notify.mail in its settings)")
        return self._relay
