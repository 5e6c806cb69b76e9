"""One letter by one channel, whatever its type."""

import ssl
from pathlib import Path

from msgspec import Struct

from actors import World
from control.model.notices import Channel, ChannelSecrets, Type
from control.notify import slack, webhook
from control.notify.errors import PermanentDeliveryError
from control.notify.http_post import HttpPoster
from control.notify.mail import InvitationMail, render_invitation, render_mail
from control.notify.message import NotificationMessage
from control.notify.network_policy import NetworkPolicy, Resolver
from control.notify.smtp import MailRelay, SmtpMailer
from protocols.instant import SECOND


class SenderConfig(Struct, frozen=True):
    """What the settings say: the control plane's own mail server, and whom to trust beside."""

    relay: MailRelay | None = None
    authorities: Path | None = None


class NotificationSender:
    """Sends."""

    def __init__(
        self, config: SenderConfig, policy: NetworkPolicy, resolver: Resolver, world: World
    ) -> None:
        """Raises `OSError` for authorities that cannot be read."""
        tls = ssl.create_default_context()
        if config.authorities is not None:
            tls.load_verify_locations(config.authorities)
        self._relay = config.relay
        self._world = world
        self._mailer = SmtpMailer(policy, resolver, tls, world)
        self._poster = HttpPoster(policy, resolver, tls)

    @property
    def can_mail(self) -> bool:
        """Whether there is a mail server of our own."""
        return self._relay is not None

    async def send_message(
        self, channel: Channel, secrets: ChannelSecrets, letter: NotificationMessage
    ) -> str:
        """Raises `DeliveryError`; returns what is worth saying of it all the same."""
        match channel.type:
            case Type.EMAIL:
                relay, to = self._relay_of(channel, secrets), channel.terms.to
                mail = render_mail(letter, relay.server.sender, to)
                return await self._mailer.send_mail(relay, mail, to)
            case Type.WEBHOOK:
                await self._signed(secrets, letter)
            case Type.SLACK:
                await self._poster.post(secrets.url, slack.slack_body(letter), slack.HEADERS)
        return ""

    async def send_invitation(self, told: InvitationMail) -> str:
        """Mail somebody who was invited. Raises `DeliveryError`."""
        if self._relay is None:
            raise PermanentDeliveryError(
                "the control plane has no mail server (notify.mail in its settings)"
            )
        mail = render_invitation(told, self._relay.server.sender)
        return await self._mailer.send_mail(self._relay, mail, (told.email,))

    async def _signed(self, secrets: ChannelSecrets, letter: NotificationMessage) -> None:
        now, body = self._world.wall(), webhook.webhook_body(letter)
        keys = secrets.keys if now < secrets.until else secrets.keys[:1]
        headers = webhook.webhook_headers(letter.id, body, keys, now // SECOND)
        await self._poster.post(secrets.url, body, headers)

    def _relay_of(self, channel: Channel, secrets: ChannelSecrets) -> MailRelay:
        if channel.terms.server is not None:
            return MailRelay(channel.terms.server, secrets.password)
        if self._relay is None:
            raise PermanentDeliveryError(
                "the control plane has no mail server (notify.mail in its settings)"
            )
        return self._relay
