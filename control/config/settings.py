"""The settings of the control plane: `control.yaml`."""

import ipaddress
from typing import Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from control.model.notices import Tls as MailTls
from protocols.instant import DAY, HOUR, MINUTE, SECOND
from protocols.settings.field_types import Duration, FilePath, Section
from protocols.settings.proxies import ProxySettings
from protocols.settings.telemetry import TelemetrySettings

MAX_PORT: Final = 65_535


class TlsSettings(Section):
    """The certificate of the REST listener."""

    enabled: bool = True
    cert_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.enabled and (self.cert_file is None or self.key_file is None):
            raise ValueError("needs cert_file and key_file (or, on loopback only, enabled: false)")
        return self


class ServerSettings(Section):
    """Where the REST API listens. Without TLS only if the file says so, and only on loopback."""

    listen: str = Field(min_length=3)
    tls: TlsSettings
    public_url: str = Field(default="", pattern=r"^(https?://[A-Za-z0-9.:\[\]-]{1,255})?$")
    """Where browsers reach it (`https://HOST[:PORT]`), if that is not what they name: behind a
    proxy that speaks TLS, or where people sign in by an identity provider."""
    proxies: ProxySettings = ProxySettings()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return split_address(self.listen)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        host, _ = split_address(self.listen)
        if not self.tls.enabled and not _is_loopback(host):
            raise ValueError("without TLS, listen on 127.0.0.1 or ::1")
        return self


class LinkSettings(Section):
    """Where agents come: for their certificates (HTTPS) and for the link (mutual TLS), one port.

    It shows a certificate that the authority in `authority` issues by itself, for these `hosts`.
    """

    listen: str = Field(min_length=3)
    hosts: tuple[str, ...] = Field(min_length=1, max_length=32)
    authority: FilePath
    dead_after: Duration = Field(default=30 * SECOND, ge=SECOND, le=300 * SECOND)
    """The silence after which a connection is over, whatever TCP believes."""
    return_within: Duration = Field(default=90 * DAY, ge=DAY)
    """How long after its certificate's end an agent may come back by itself."""
    check_clock: bool = True
    """Issue nothing while the clock is behind what was seen already (docs/spec/pki.md)."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return split_address(self.listen)

    @property
    def url(self) -> str:
        """What agents are told as `--control`; empty if the kernel chooses the port."""
        host, port = self.hosts[0], self.address[1]
        return f"https://{f'[{host}]' if ':' in host else host}:{port}" if port else ""

    @field_validator("listen")
    @classmethod
    def _reachable(cls, value: str) -> str:
        split_address(value)
        return value


class DatabaseSettings(Section):
    """`sqlite:////DIR/control.db` for one process, or `postgresql://…`."""

    url: SecretStr
    max_connections: int = Field(default=8, ge=1, le=100)

    @field_validator("url")
    @classmethod
    def _known(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("sqlite:////", "postgresql://")):
            raise ValueError("is neither sqlite:////DIR/control.db nor postgresql://…")
        return value


class RedisSettings(Section):
    """What several processes need that share one PostgreSQL: the same Redis in all of them.

    `redis://[:PASSWORD@]HOST:PORT/DB`, `rediss://…` with TLS, `unix://…/SOCKET`.
    """

    url: SecretStr

    @field_validator("url")
    @classmethod
    def _known(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix:///")):
            raise ValueError("is none of redis://…, rediss://… and unix:///SOCKET")
        return value


class PresenceSettings(Section):
    """When an agent counts as late (two heartbeats missed) and as offline."""

    heartbeat: Duration = MINUTE
    offline_after: Duration = 300 * SECOND

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.offline_after < 2 * self.heartbeat:
            raise ValueError("offline_after is at least two heartbeats")
        return self


class SessionSettings(Section):
    """How long sessions last at most, and unused ones in a browser."""

    absolute: Duration = 12 * HOUR
    idle: Duration = 2 * HOUR

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not MINUTE <= self.idle <= self.absolute <= 30 * DAY:
            raise ValueError("takes 1m <= idle <= absolute <= 30d")
        return self


class IdentitySettings(Section):
    """Where identity providers may be. `hosts` empty: at any public address.

    Hosts that are named may be at private addresses; `private`: those that are not, too.
    `loopback`: also plain http on this machine, for development.
    """

    hosts: tuple[str, ...] = Field(default=(), max_length=256)
    private: bool = False
    loopback: bool = False


class MailServerSettings(Section):
    """Whom the control plane's own mail goes to. Without TLS only on loopback."""

    host: str = Field(min_length=1, max_length=253, pattern="^[!-~]+$")
    port: int = Field(default=587, ge=1, le=MAX_PORT)
    tls: MailTls = MailTls.STARTTLS
    username: str = Field(default="", max_length=256)
    password: SecretStr = SecretStr("")
    sender: str = Field(min_length=3, max_length=254, pattern=r"^[!-;=?-~]+@[A-Za-z0-9.-]+$")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.tls is MailTls.PLAIN and not _is_loopback(self.host):
            raise ValueError("without TLS a mail server is at 127.0.0.1 or ::1")
        return self


class NotifySettings(Section):
    """How people are told. `mail`: for invitations, and for channels without a server of their own.

    `private`: networks that channels may reach beside public addresses, as `10.1.0.0/16`.
    `authorities`: whose certificates are trusted too (PEM). `development`: also plain http and
    plain mail, on this machine.
    """

    mail: MailServerSettings | None = None
    private: tuple[str, ...] = Field(default=(), max_length=64)
    authorities: FilePath | None = None
    development: bool = False

    @field_validator("private")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ipaddress.ip_network(each)
        return value


class RetentionSettings(Section):
    """How long figures and resolved alerts are kept."""

    metrics_raw: Duration = 6 * HOUR
    metrics_minutes: Duration = 14 * DAY
    metrics_hours: Duration = 400 * DAY
    alerts: Duration = 365 * DAY
    usage_hours: Duration = Field(default=7 * DAY, ge=DAY, le=50 * DAY)
    usage_days: Duration = 400 * DAY
    history: Duration = Field(default=800 * DAY, ge=90 * DAY)
    """How things stood: a report of 400 days can be made until a year after its period."""


class KeySettings(Section):
    """Signing keys: made in `folder` at the first start, one file each, for this user alone."""

    folder: FilePath
    bundle_life: Duration = 90 * DAY
    """How long a policy bundle may be accepted; one in force stays in force."""
    witness_name: str = Field(default="freehold.control/witness", pattern=r"^[!-*,-~]{1,128}$")


class Settings(Section):
    """The whole file. Without `link` no agent can come: people and policies alone."""

    server: ServerSettings
    link: LinkSettings | None = None
    database: DatabaseSettings
    redis: RedisSettings | None = None
    """Without it this is the only process on its database."""
    keys: KeySettings
    presence: PresenceSettings = PresenceSettings()
    retention: RetentionSettings = RetentionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    sessions: SessionSettings = SessionSettings()
    identity: IdentitySettings = IdentitySettings()
    notify: NotifySettings = NotifySettings()

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        url = self.database.url.get_secret_value()
        if self.redis is not None and url.startswith("sqlite:"):
            raise ValueError(
                "redis is for processes that share one database, and SQLite is for one process:"
                " take postgresql://… or leave redis out"
            )
        return self


def split_address(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`; raises `ValueError`."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > MAX_PORT:
        raise ValueError("is host:port")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
