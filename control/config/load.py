"""Loads the control plane's settings from a file and the environment, or makes a developer's."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr, ValidationError

from control.config.settings import (
    DatabaseSettings,
    IdentitySettings,
    KeySettings,
    LinkSettings,
    NotifySettings,
    PresenceSettings,
    ServerSettings,
    Settings,
    TlsSettings,
)
from protocols.settings import client_environment
from protocols.settings.loader import ConfigError as ConfigError
from protocols.settings.loader import explain_option_errors, load_model


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `file`, those in `environment` over them. Raises `ConfigError`.

    What `freehold fleet` reads has the same prefix and is left out.
    """
    return load_model(Settings, file, client_environment.CONTROL_PREFIX, environment)


def dev_settings(
    listen: str, folder: Path, presence: tuple[str, str] = ("60s", "300s")
) -> Settings:
    """Plain HTTP on loopback, everything in `folder`. Raises `ConfigError`.

    Agents connect to the next port. `presence`: heartbeat, offline.
    """
    folder = folder.absolute()
    try:
        server = ServerSettings(listen=listen, tls=TlsSettings(enabled=False))
        host, port = server.address
        link = f"{host}:{port + 1 if port else 0}"
        return Settings(
            server=server,
            link=LinkSettings(listen=link, hosts=(host,), authority=folder / "ca"),
            presence=_presence(*presence),
            database=DatabaseSettings(url=SecretStr(f"sqlite:///{quote(str(folder))}/control.db")),
            keys=KeySettings(folder=folder / "keys"),
            identity=IdentitySettings(loopback=True),
            notify=NotifySettings(development=True),
        )
    except ValidationError as error:
        raise explain_option_errors(error, {"listen": "--listen"}, "--listen") from None


def _presence(heartbeat: str, offline_after: str) -> PresenceSettings:
    try:
        return PresenceSettings.model_validate(
            {"heartbeat": heartbeat, "offline_after": offline_after}
        )
    except ValidationError as error:
        options = {"heartbeat": "--heartbeat", "offline_after": "--offline-after"}
        raise explain_option_errors(error, options, "--offline-after") from None
