"""The kinds that are for no database, with what they need of the agent's own configuration."""

from pathlib import Path

from msgspec import Struct

from actors import World
from vault.rotation.rotator import Rotators
from vault.rotation.rotators import aws, generated, script, ssh, tls, webhook


class ServiceSettings(Struct, frozen=True):
    """What only the agent's own file may say, and no API."""

    webhooks: tuple[str, ...] = ()
    """The origins that webhooks may go to, as https://rotator.internal:8443."""
    launcher: Path | None = None
    """The socket of the launcher of scripts; None: there are no scripts."""


def register_services(rotators: Rotators, settings: ServiceSettings, world: World) -> None:
    """Add them all. Raises `SetupError` (`webhook_origin`)."""
    rotators.register(generated.KIND)
    rotators.register(ssh.KIND)
    rotators.register(tls.kind(world))
    rotators.register(tls.authority_kind(world))
    rotators.register(aws.KIND)
    rotators.register(webhook.kind(settings.webhooks, world))
    rotators.register(script.kind(settings.launcher, world))
