"""The agent's settings from a file and the environment, or for a developer from two arguments."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import ValidationError

from protocols.settings.loader import ConfigError as ConfigError
from protocols.settings.loader import explain_option_errors, load_model
from vault.config.control_plane import ControlPlaneSettings
from vault.config.settings import (
    AuditSettings,
    AuthenticationSettings,
    EncryptionSettings,
    FailureSettings,
    LimitSettings,
    SelfService,
    ServerSettings,
    Settings,
    StorageSettings,
    TlsSettings,
)

PREFIX: Final = "FREEHOLD_AGENT_"
_HEARTBEAT: Final = (
    "heartbeat_interval",
    "metrics_interval",
    "checkpoint_interval",
    "usage_interval",
    "expiry_interval",
)
_OPTIONS: Final = {
    "workers": "--workers",
    "listen": "--listen",
    "storage": "--database",
    "type": "--database",
    "connection_string": "--database",
} | dict.fromkeys(_HEARTBEAT, "--heartbeat")
ENROLMENT: Final = "uplink/enrolment.json"
"""A development agent that was enrolled is linked."""


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `file`, those in `environment` over them.

    Paths are as seen from the file's folder. Raises `ConfigError`.
    """
    return load_model(Settings, file, PREFIX, environment)


def storage_settings(
    url: str, option: str, *, password_file: Path | None = None, ca_file: Path | None = None
) -> StorageSettings:
    """The database of a URL that an option has; beside it are OPTION-password-file, OPTION-ca-file.

    Raises `ConfigError`.
    """
    try:
        return StorageSettings.model_validate(
            {
                "type": url.partition(":")[0],
                "connection_string": url,
                "password_file": password_file and password_file.absolute(),
                "tls": {"ca_file": ca_file and ca_file.absolute()},
            }
        )
    except ValidationError as error:
        raise explain_option_errors(error, {}, option) from None


def dev_settings(
    listen: str, folder: Path, workers: int = 1, heartbeat: str = "60s", *, database: str = ""
) -> Settings:
    """For a developer: plain HTTP on loopback, everything in `folder`, unsealed by a key file.

    `database`: on a server, as its `storage.connection_string`; empty: a file in `folder`, too.
    `heartbeat` is how often a control plane hears of it, figures and checkpoints included.

    Raises `ConfigError`, for an address that is not on loopback too.
    """
    folder = folder.absolute()
    if database and database.partition(":")[0] not in {"postgresql", "mysql"}:
        raise ConfigError("--database: is not of the form postgresql://… or mysql://…")
    url = database or f"sqlite:///{quote(str(folder))}/vault.db"
    try:
        return Settings(
            server=ServerSettings(
                listen=listen, workers=workers, web=True, tls=TlsSettings(enabled=False)
            ),
            storage=StorageSettings.model_validate(
                {
                    "type": url.partition(":")[0],
                    "connection_string": url,
                }
            ),
            encryption=EncryptionSettings(key_management="file", key_file=folder / "root.key"),
            audit=AuditSettings(log_file=folder / "audit.log"),
            authentication=AuthenticationSettings.model_validate(
                {"session_timeout": "32d"}  # as any token's
            ),
            limits=LimitSettings(  # of tests
                failures=FailureSettings(per_second=10_000, burst_size=100_000),
                self_service=SelfService(per_second=10_000, burst_size=100_000),
            ),
            control_plane=ControlPlaneSettings.model_validate(
                {
                    "enabled": (folder / ENROLMENT).exists(),
                    **dict.fromkeys(_HEARTBEAT, heartbeat),
                    "share_usage": "opaque",
                }
            ),
        )
    except ValidationError as error:
        raise explain_option_errors(error, _OPTIONS, "--listen") from None
