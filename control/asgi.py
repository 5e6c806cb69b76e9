r"""The control plane as an ASGI application for another server than ours.

    FREEHOLD_CONTROL_CONFIG=control.yaml \
      hypercorn --worker-class trio --bind 127.0.0.1:8300 control.asgi:app

It opens at the server's start-up and closes at its end (ASGI lifespan), the listener for agents
included. docs/guides/other-asgi-servers.md has what is missing then.
"""

import logging
import os
from functools import partial
from pathlib import Path
from typing import Final

from actors import SystemWorld
from control.api.health import refusal_response
from control.app import open_application, open_for_agents
from control.config.load import load_settings
from control.config.settings import Settings
from control.errors import ControlError
from protocols.http.asgi import App, Receive, Scope, Send
from protocols.pki.errors import PkiError
from protocols.settings.loader import ConfigError

CONFIG_VARIABLE: Final = "FREEHOLD_CONTROL_CONFIG"
DEFAULT_CONFIG: Final = "/etc/freehold/control.yaml"
log: Final = logging.getLogger("freehold.control")


class ControlPlane:
    """The application; closed until the server says that it starts up."""

    def __init__(self) -> None:
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open and close with the server; in between, answer."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is None:
            raise RuntimeError(
                "this server does not speak ASGI lifespan: the application is closed"
            )
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            settings = load_settings(Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)))
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        faults = list[BaseException]()
        try:
            await self._open(settings, receive, send)
        except* (ControlError, PkiError, OSError) as group:
            if self._app is not None:  # it was open: a fault of the running control plane
                raise
            faults += _leaves(group)
        if faults:
            text = "; ".join(map(str, faults))
            await send({"type": "lifespan.startup.failed", "message": text})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _open(self, settings: Settings, receive: Receive, send: Send) -> None:
        """Until the server ends."""
        world = SystemWorld()
        async with (
            open_application(settings, world, log.info) as application,
            open_for_agents(application, settings, world),
        ):
            self._app = self._wrapped(application.app, settings, world)
            await send({"type": "lifespan.startup.complete"})
            await receive()

    @staticmethod
    def _wrapped(app: App, settings: Settings, world: SystemWorld) -> App:
        refuse = partial(refusal_response, world)
        server = settings.server
        return server.proxies.wrap_app(app, tls=server.tls.enabled, refuse=refuse)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


app: Final = ControlPlane()
