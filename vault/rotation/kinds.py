"""All kinds of rotators that an agent knows: its own, and those of other packages."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from actors import World
from vault.rotation.rotator import RotatorKind, Rotators

_PACKAGE: Final = "vault.rotation.rotators"


class ServiceSettings(Struct, frozen=True):
    """What only the agent's own file may say, and no API."""

    webhooks: tuple[str, ...] = ()
    """The origins that webhooks may go to, as https://rotator.internal:8443."""
    launcher: Path | None = None
    """The socket of the launcher of scripts; None: there are no scripts."""


def load_rotators(settings: ServiceSettings, world: World) -> Rotators:
    """To be called before a process has a second thread: other packages bring shapes of their own.

    A kind of Freehold's is loaded when it is first used. Raises `SetupError` (`webhook_origin`),
    `ConflictError` (`rotator_exists`), and whatever the import of another package raises.
    """
    rotators = Rotators()
    for name in ("postgresql", "mysql", "redis", "ldap", "generated", "ssh", "aws"):
        rotators.register_lazily(name, partial(_load, name, _constant))
    webhook = partial(_load, "webhook", lambda module: module.kind(settings.webhooks, world))
    rotators.register_lazily("webhook", webhook)
    if settings.webhooks:
        rotators.get("webhook")  # an origin that is none stops the start
    for name, module, make in (
        ("script", "script", lambda module: module.kind(settings.launcher, world)),
        ("tls", "tls", lambda module: module.kind(world)),
        ("tls-authority", "tls", lambda module: module.authority_kind(world)),
    ):
        rotators.register_lazily(name, partial(_load, module, make))
    rotators.register_entry_points()
    return rotators


def _load(module: str, make: Callable[[Any], RotatorKind[Any]]) -> RotatorKind[Any]:
    return make(import_module(f"{_PACKAGE}.{module}"))


def _constant(module: Any) -> RotatorKind[Any]:
    kind: RotatorKind[Any] = module.KIND
    return kind
