"""The parts that tell people, put together."""

from collections.abc import Callable
from typing import NamedTuple

from actors import World
from control.crypto import Sealer
from control.notify.reach import Reach, Resolve, resolve
from control.notify.sender import Post, Sender
from control.services.alerts import Alerts
from control.services.channels import Channels
from control.services.deliveries import Deliveries
from control.services.postman import Postman
from control.services.welcome import Welcome
from control.store.store import Store


class Telling(NamedTuple):
    """Channels, their messages, invitations' mail, and who works the queue."""

    channels: Channels
    deliveries: Deliveries
    welcome: Welcome
    postman: Postman


class Means(NamedTuple):
    """What the settings allow. `url`: where the dashboard is, if that is known."""

    post: Post
    reach: Reach
    url: str
    resolve: Resolve = resolve


def telling(
    store: Store,
    *,
    sealer: Sealer,
    means: Means,
    secret: Callable[[str, str], str],
    alerts: Alerts,
    world: World,
) -> Telling:
    """`secret`: what an invitation's link ends with. Raises `OSError` (unreadable authorities)."""
    sender = Sender(means.post, means.reach, means.resolve, world)
    channels = Channels(
        store,
        sealer=sealer,
        sender=sender,
        reach=means.reach,
        alerts_=alerts,
        world=world,
        url=means.url,
    )
    welcome = Welcome(store, sender, secret, means.url, world)
    postman = Postman(
        store, channels_=channels, sender=sender, welcome=welcome, alerts=alerts, world=world
    )
    return Telling(channels, Deliveries(store, world), welcome, postman)
