"""The settings of the operator: `operator.yaml`, and `FREEHOLD_KUBERNETES_…` over it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section
from protocols.settings.loader import load_model

PREFIX: Final = "FREEHOLD_KUBERNETES_"
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token of its service account."""
MAX_PORT: Final = 65_535


class ApiServerSettings(Section):
    """The API server. In a pod all of it is known: its own cluster, by its own account."""

    url: str = Field(default="", pattern=r"^(https?://[A-Za-z0-9.:\[\]-]{1,255})?$")
    ca_file: FilePath | None = None
    token_file: FilePath | None = None
    namespaces: tuple[str, ...] = Field(default=(), max_length=100)
    """Which namespaces are looked after; none: all."""

    @model_validator(mode="after")
    def _private(self) -> Self:
        host = self.url.removeprefix("http://")
        if host != self.url and not host.startswith(("127.0.0.1", "[::1]")):
            raise ValueError("url takes https://, but for this machine")
        return self


class ElectionSettings(Section):
    """Leader election. `duration`: after which another operator takes over."""

    enabled: bool = True
    namespace: str = ""
    """Namespace of the Lease; empty: that of the pod."""
    name: str = Field(default="freehold-operator", pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
    duration: Duration = Field(default=15 * SECOND, ge=3 * SECOND, le=300 * SECOND)


class ServerSettings(Section):
    """Health and metrics, over plain HTTP: there is nothing else, and no name in them."""

    listen: str = Field(default="0.0.0.0:8400", min_length=3)  # kubelets come to it

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @field_validator("listen")
    @classmethod
    def _reachable(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > MAX_PORT:
            raise ValueError("is not HOST:PORT")
        return value


class AgentSettings(Section):
    """`allowed`: addresses that resources may name, with `*` for any text."""

    allowed: tuple[str, ...] = Field(default=("https://*",), min_length=1, max_length=100)


class KindSettings(Section):
    """Which kinds of resources are looked after. What is not needs no rights."""

    agents: bool = True
    secrets: bool = True
    policies: bool = True


class Settings(Section):
    """All settings of the operator."""

    kinds: KindSettings = KindSettings()
    kubernetes: ApiServerSettings = ApiServerSettings()
    leader_election: ElectionSettings = ElectionSettings()
    server: ServerSettings = ServerSettings()
    agents: AgentSettings = AgentSettings()
    workers: int = Field(default=8, ge=1, le=64)
    """How many objects of a kind are worked on at once."""


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `file`, those in `environment` over them. Raises `ConfigError`."""
    return load_model(Settings, file, PREFIX, environment)
