"""Sends a message by a channel of any type.

HTTP requests go to addresses that people named: the address is checked, time and size are bounded,
redirects are not followed, and the answer's body is not read.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio
from msgspec import Struct

from actors import World
from control.errors import ValidationError
from control.model.notices import Channel, ChannelSecrets, Type
from control.notify import slack, webhook
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.notify.mail import InvitationMail, render_invitation, render_mail
from control.notify.message import NotificationMessage
from control.notify.network_policy import NetworkPolicy, unreachable_error
from control.notify.smtp import MailRelay, SmtpMailer
from protocols.errors import locate
from protocols.instant import SECOND
from protocols.outbound import Resolver, TargetUrl

SECONDS: Final = 15.0  # for all of it
MAX_CONCURRENT: Final = 64
MAX_BODY: Final = 256 * 1024
_TRANSIENT: Final = frozenset({404, 408, 409, 425, 429})  # of those below 500; 404: being deployed
_FAULT: Final = 500


class HttpPoster:
    """Posts bodies; the outcome depends on the status alone."""

    def __init__(self, policy: NetworkPolicy, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._reach = policy
        self._resolve = resolver
        self._tls = tls
        self._slots = trio.CapacityLimiter(MAX_CONCURRENT)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once the body was accepted (2xx). Raises `DeliveryError`."""
        try:
            place = self._reach.parse_url(url)
        except ValidationError as error:
            raise PermanentDeliveryError(error.message) from None
        if len(body) > MAX_BODY:
            raise PermanentDeliveryError("the message is too long")
        try:
            # To wait for a place behind others is no failure: the time begins with it.
            async with self._slots:
                return await self._post_once(place, body, headers)
        except trio.TooSlowError:
            raise TransientDeliveryError(f"no answer within {SECONDS:.0f} seconds") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _delivery_error(url, error) from None

    async def _post_once(self, place: TargetUrl, body: bytes, headers: Mapping[str, str]) -> None:
        with trio.fail_after(SECONDS):
            address = await self._reach.resolve_address(
                place.host, place.port, self._resolve, plain=place.scheme == "http"
            )
            status, after = await self._request(place, address, body, headers)
        _raise_for_status(status, after)

    async def _request(
        self, place: TargetUrl, address: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """Status and `Retry-After`. The certificate is checked for the name, not the address."""
        sent = {**headers, "Host": place.host_header, "Accept-Encoding": "identity"}
        name = {"sni_hostname": place.host}
        async with (
            httpx2.AsyncClient(verify=self._tls, timeout=SECONDS, trust_env=False) as http,
            http.stream(
                "POST", place.url_at(address), content=body, headers=sent,
                follow_redirects=False, extensions=name,
            ) as reply,
        ):  # fmt: skip
            return reply.status_code, reply.headers.get("Retry-After", "")


def _raise_for_status(status: int, after: str) -> None:
    if status in range(200, 300):
        return
    if status in range(300, 400):
        raise PermanentDeliveryError(f"it answered {status}: redirects are not followed")
    wait = float(after) if after.isascii() and after.isdigit() and len(after) < 8 else 0.0  # noqa: PLR2004  # far above what is believed
    if status < _FAULT and status not in _TRANSIENT:
        raise PermanentDeliveryError(f"it answered {status}")
    raise TransientDeliveryError(f"it answered {status}", wait)


def _delivery_error(url: str, error: Exception) -> TransientDeliveryError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TransientDeliveryError("its certificate is not one to trust")
        cause = cause.__cause__ or cause.__context__
    return unreachable_error(
        urlsplit(url).netloc, f"no connection, or it broke off ({locate(error)})"
    )


class SenderConfig(Struct, frozen=True):
    """The control plane's own mail server, and further certificate authorities."""

    relay: MailRelay | None = None
    authorities: Path | None = None


class NotificationSender:
    """Sends messages and invitations."""

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
        """Send the message; returns a remark on a success. Raises `DeliveryError`."""
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
        """Mail an invited person. Raises `DeliveryError`."""
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
