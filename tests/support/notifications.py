"""Channels, their messages and their worker over one store, wired as the control plane's."""

from collections.abc import Callable
from typing import NamedTuple

from actors import World
from control.crypto import Sealer
from control.notify.network_policy import NetworkPolicy
from control.notify.sender import NotificationSender, SenderConfig
from control.notify.smtp import MailRelay
from control.services.alerts import Alerts
from control.services.channels import Channels
from control.services.deliveries import Deliveries
from control.services.delivery_worker import DeliveryWorker
from control.services.invitation_mail import InvitationMailer
from control.store.store import Store
from protocols.outbound import resolve_host


class Notifications(NamedTuple):
    """The services of one process."""

    channels: Channels
    deliveries: Deliveries
    mailer: InvitationMailer
    worker: DeliveryWorker


def notifications(
    store: Store,
    alerts: Alerts,
    world: World,
    *,
    sealer: Sealer,
    link_secret: Callable[[str, str], str] = lambda *_: "",
    relay: MailRelay | None = None,
    url: str = "",
) -> Notifications:
    """May reach this machine."""
    policy = NetworkPolicy(development=True)
    sender = NotificationSender(SenderConfig(relay), policy, resolve_host, world)
    channels = Channels(
        store, sealer=sealer, sender=sender, reach=policy, alerts_=alerts, world=world, url=url
    )
    mailer = InvitationMailer(store, sender, link_secret, url, world)
    worker = DeliveryWorker(
        store,
        channels_service=channels,
        sender=sender,
        invitation_mail=mailer,
        alerts=alerts,
        world=world,
    )
    return Notifications(channels, Deliveries(store, world), mailer, worker)
