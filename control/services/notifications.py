"""The parts that tell people, put together."""

from collections.abc import Callable
from typing import NamedTuple

from actors import World
from control.crypto import Sealer
from control.notify.network_policy import NetworkPolicy, Resolver, resolve_host
from control.notify.sender import NotificationSender, SenderConfig
from control.services.alerts import Alerts
from control.services.channels import Channels
from control.services.deliveries import Deliveries
from control.services.delivery_worker import DeliveryWorker
from control.services.invitation_mail import InvitationMailer
from control.store.store import Store


class NotificationServices(NamedTuple):
    """Channels, their messages, invitations' mail, and who works the queue."""

    channels: Channels
    deliveries: Deliveries
    invitation_mail: InvitationMailer
    worker: DeliveryWorker


class NotificationConfig(NamedTuple):
    """What the settings allow. `url`: where the dashboard is, if that is known."""

    sender: SenderConfig
    policy: NetworkPolicy
    url: str
    resolver: Resolver = resolve_host


def build_notifications(
    store: Store,
    *,
    sealer: Sealer,
    config: NotificationConfig,
    link_secret: Callable[[str, str], str],
    alerts: Alerts,
    world: World,
) -> NotificationServices:
    """`secret`: what an invitation's link ends with. Raises `OSError` (unreadable authorities)."""
    sender = NotificationSender(config.sender, config.policy, config.resolver, world)
    channels = Channels(
        store,
        sealer=sealer,
        sender=sender,
        reach=config.policy,
        alerts_=alerts,
        world=world,
        url=config.url,
    )
    welcome = InvitationMailer(store, sender, link_secret, config.url, world)
    postman = DeliveryWorker(
        store,
        channels_service=channels,
        sender=sender,
        invitation_mail=welcome,
        alerts=alerts,
        world=world,
    )
    return NotificationServices(channels, Deliveries(store, world), welcome, postman)
