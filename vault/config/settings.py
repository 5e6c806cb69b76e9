"""The settings after the design's `vault.yaml`: each key is accepted, or refused with advice."""

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import (
    Duration,
    FilePath,
    Section,
    Size,
    unsupported_values,
)
from protocols.settings.proxies import ProxySettings
from protocols.settings.telemetry import TelemetrySettings
from vault.config.backup import BackupSettings
from vault.config.cache import CacheSettings
from vault.config.control_plane import ControlPlaneSettings
from vault.config.dynamic import DynamicSettings
from vault.config.jwt_issuers import JwtSettings
from vault.config.key_providers import (
    CloudKmsSettings,
    FormerSealSettings,
    HsmSettings,
    Providers,
)
from vault.config.rotation import RotationSettings
from vault.config.tls import ClientTlsSettings
from vault.config.workers import AUTO, WorkerCount
from vault.model.server_address import ServerAddress, parse_server_address

DAY: Final = 86_400 * SECOND
HOUR: Final = 3_600 * SECOND
MINUTE: Final = 60 * SECOND
MILLISECOND: Final = SECOND // 1000
MIB: Final = 1 << 20
MAX_PORT: Final = 65_535
MAX_REPLICAS: Final = 8
ANCHOR_NAME: Final = "vault.anchor"  # no pattern for the log's or the database's files takes it

ClientAuth = Literal["none", "optional", "required"]
Method = Literal[
    "api_key", "token", "approle", "userpass", "jwt", "oidc", "kubernetes", "ldap", "saml",
    "certificate",
]  # fmt: skip
METHODS: Final[tuple[Method, ...]] = get_args(Method)
METHOD_LIBRARIES: Final[dict[str, tuple[str, str]]] = {
    "ldap": ("ldap", "python-ldap"),
    "saml": ("signxml", "signxml"),
}
"""What a method needs that is not always installed: module and library, by the extra's name."""


class TlsSettings(Section):
    """How the listener proves who it is, and whom it asks to do the same."""

    enabled: bool = True
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    ca_file: FilePath | None = None
    client_auth: ClientAuth = "none"

    @model_validator(mode="before")
    @classmethod
    def _default_client_auth(cls, data: Any) -> Any:
        """A `ca_file` alone, as in the design's file, asks clients for a certificate."""
        if isinstance(data, dict) and data.get("ca_file") and "client_auth" not in data:
            return {**data, "client_auth": "optional"}
        return data

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        if self.enabled and (self.cert_file is None or self.key_file is None):
            raise ValueError("needs cert_file and key_file (or, on loopback only, enabled: false)")
        if self.client_auth != "none" and self.ca_file is None:
            raise ValueError(f"client_auth: {self.client_auth} needs ca_file, to check clients by")
        return self


MAX_DRAIN_DELAY: Final = 30 * SECOND  # with the drain itself, less than systemd waits


class ServerSettings(Section):
    """Where to listen. Without TLS only if the file says so, and then only on loopback."""

    listen: str = ""
    port: int | None = Field(default=None, ge=0, le=MAX_PORT)
    workers: WorkerCount = Field(default=AUTO, validate_default=True)
    web: bool = False
    drain_delay: Duration | None = None
    proxies: ProxySettings = ProxySettings()
    tls: TlsSettings

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. A `port` alone is on all interfaces with TLS, on loopback without."""
        if self.listen:
            return _split_address(self.listen)
        return "0.0.0.0" if self.tls.enabled else "127.0.0.1", self.port or 0  # noqa: S104  # TLS

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if (self.port is None) == (not self.listen):
            raise ValueError("needs either port or listen (host:port)")
        if (self.drain_delay or 0) > MAX_DRAIN_DELAY:
            raise ValueError("drain_delay: is at most 30s")
        host, _ = self.address
        if not self.tls.enabled and not _is_loopback(host):
            raise ValueError(f"{host} is not loopback: without TLS, listen on 127.0.0.1 or ::1")
        return self


class StorageSettings(Section):
    """Where the sealed rows are kept: in a file, or in a database of a server."""

    type: Annotated[
        Literal["sqlite", "postgresql", "mysql"],
        unsupported_values(mariadb="is of the type mysql", postgres="is called postgresql"),
    ] = "sqlite"
    connection_string: SecretStr
    replicas: tuple[SecretStr, ...] = Field(default=(), max_length=MAX_REPLICAS)
    password_file: FilePath | None = None
    tls: ClientTlsSettings = ClientTlsSettings()
    max_connections: int = Field(default=8, ge=1, le=1_000)
    connection_timeout: Duration = 30 * SECOND
    stale_reads: Duration | None = None

    @field_validator("stale_reads")
    @classmethod
    def _check_stale_reads(cls, value: int | None) -> int | None:
        if value is not None and not SECOND <= value <= HOUR:
            raise ValueError("is 1s to 1h: how old an answer may be while the database is away")
        return value

    @field_validator("connection_timeout")
    @classmethod
    def _check_timeout(cls, value: int) -> int:
        if not SECOND <= value <= 10 * MINUTE:
            raise ValueError("is 1s to 10m: how long a read waits for one of max_connections")
        return value

    @model_validator(mode="after")
    def _check_connection_string(self) -> Self:
        url = self.connection_string.get_secret_value()
        if self.type == "sqlite":
            _check_sqlite_url(url)
            if self.password_file is not None or self.tls != ClientTlsSettings():
                raise ValueError("password_file and tls are for a database server")
            if self.replicas:
                raise ValueError("replicas are of a database server")
            if self.stale_reads is not None:
                raise ValueError("stale_reads is for a database server")
            return self
        there = {_place(self._parse(url, "connection_string"))}
        for number, replica in enumerate(self.replicas, 1):
            address = self._parse(replica.get_secret_value(), f"replicas: number {number}")
            if _place(address) in there:
                raise ValueError(
                    f"replicas: number {number} is the database itself, or named twice: name "
                    "servers that follow it"
                )
            there.add(_place(address))
        return self

    def _parse(self, url: str, name: str) -> ServerAddress:
        """Raises `ValueError`, whose text begins with the name."""
        try:
            address = parse_server_address(url, self.type)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        if address.password and self.password_file is not None:
            raise ValueError(f"has a password in {name} and password_file: choose one")
        return address

    @property
    def file(self) -> Path | None:
        """The database file; None: it is on a server."""
        if self.type != "sqlite":
            return None
        return Path(unquote(urlsplit(self.connection_string.get_secret_value()).path[1:]))

    @property
    def server(self) -> ServerAddress | None:
        """Where the server is; None: there is none."""
        if self.type == "sqlite":
            return None
        return parse_server_address(self.connection_string.get_secret_value(), self.type)

    @property
    def replica_servers(self) -> tuple[ServerAddress, ...]:
        """Where the replicas are."""
        return tuple(
            parse_server_address(url.get_secret_value(), self.type) for url in self.replicas
        )


def _place(address: ServerAddress) -> tuple[str | int, ...]:
    return address.host, address.port, address.socket, address.database


def _check_sqlite_url(url: str) -> None:
    """Raise `ValueError` unless it names a file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(
            "connection_string is not a URL; for sqlite: sqlite:////DIR/vault.db"
        ) from None
    if parts.scheme != "sqlite" or parts.netloc:
        raise ValueError(
            "connection_string is not of the form sqlite:////DIR/vault.db; for a server, set type"
        )
    if not parts.path.startswith("//") or not parts.path.strip("/"):
        raise ValueError(
            "connection_string is not an absolute path: four slashes, sqlite:////DIR/vault.db"
        )
    if parts.query or parts.fragment:
        raise ValueError("connection_string takes no options: durability is not up for choice")


class EncryptionSettings(Section):
    """Where the root key is: dealt to people as shares, in a file, or wrapped by key providers.

    With the last two the agent unseals by itself.
    """

    key_management: Literal["shamir", "file", "hsm", "cloud_kms", "providers"] = "shamir"
    key_file: FilePath | None = None
    hsm: HsmSettings | None = None
    cloud_kms: CloudKmsSettings | None = None
    providers: Providers = ()
    migrate_from: FormerSealSettings | None = None
    rotation_interval: Duration = 90 * DAY  # security.md: at 2^30 wraps or 90 days

    @model_validator(mode="after")
    def _check_key_file(self) -> Self:
        if self.key_management == "file" and self.key_file is None:
            raise ValueError("key_management: file needs key_file")
        if self.key_management != "file" and self.key_file is not None:
            raise ValueError("key_file is for key_management: file; others keep no key on disk")
        for name, section in (("hsm", self.hsm), ("cloud_kms", self.cloud_kms)):
            if (self.key_management == name) != (section is not None):
                raise ValueError(f"key_management: {name} and the section {name} need each other")
        if (self.key_management == "providers") != bool(self.providers):
            raise ValueError("key_management: providers and the list providers need each other")
        return self

    @model_validator(mode="after")
    def _check_former(self) -> Self:
        former = self.migrate_from
        if former is None:
            return self
        if former.key_file is not None and former.key_file == self.key_file:
            raise ValueError(
                "migrate_from.key_file is key_file itself: there is nothing to migrate"
            )
        own = {"hsm"} if self.hsm is not None else {each.name for each in self.providers}
        if self.cloud_kms is not None:
            own = {self.cloud_kms.kind}
        if both := sorted(own & {each.name for each in former.providers}):
            raise ValueError(
                f"migrate_from has the provider {both[0]}, which is also a provider from now on: "
                "give the new one another name, in key_management: providers"
            )
        return self


class MfaSettings(Section):
    """Second factors. `required_for`: types of auth mounts whose logins need one."""

    required_for: tuple[
        Literal["userpass", "ldap", "oidc", "jwt", "approle", "kubernetes", "cert", "saml"], ...
    ] = ()
    issuer: str = Field(default="Freehold", min_length=1, max_length=64, pattern=r"^[^:]*$")
    public_url: str = ""

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        is_local = parts.scheme == "http" and parts.hostname == "localhost"
        if (
            not (parts.scheme == "https" or is_local)
            or not parts.hostname
            or parts.path not in {"", "/"}
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise ValueError(
                "is the address that browsers see, such as https://vault.example.com: passkeys "
                "are made for it"
            )
        return value.rstrip("/").lower()


class AuthenticationSettings(Section):
    """Which credentials count, and for how long.

    `methods`: those that are named are the only ones; what they need has to be installed. Without
    names, all count, and one that lacks its library is refused where it is used.
    """

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = METHODS
    jwt: JwtSettings | None = None
    mfa: MfaSettings = MfaSettings()
    session_timeout: Duration = 24 * HOUR
    session_idle: Duration = 15 * MINUTE
    login_idle: Duration | None = None
    max_sessions_per_user: int = Field(default=10, ge=1, le=100_000)
    source_max_age: Duration = 1 * HOUR

    @property
    def logins(self) -> frozenset[str]:
        """The types of the auth mounts whose logins count."""
        kinds = {"cert" if name == "certificate" else name for name in self.methods}
        return frozenset(kinds - {"api_key", "token"})

    @property
    def missing_libraries(self) -> dict[str, str]:
        """What is not installed of what the named methods need: libraries by the extra's name."""
        if "methods" not in self.model_fields_set:
            return {}
        return {
            extra: library
            for extra, (module, library) in METHOD_LIBRARIES.items()
            if extra in self.methods and find_spec(module) is None
        }

    @field_validator("source_max_age")
    @classmethod
    def _check_source_max_age(cls, value: int) -> int:
        if not MINUTE <= value <= 32 * DAY:
            raise ValueError(
                "is 1m to 32d: how long after its source's last word an identity may be used"
            )
        return value

    @model_validator(mode="after")
    def _check_jwt(self) -> Self:
        if self.jwt is not None and "jwt" not in self.methods:
            raise ValueError(
                "methods: authentication.jwt.issuers needs jwt: add it, or leave the issuers out"
            )
        return self

    @field_validator("session_idle")
    @classmethod
    def _check_idle(cls, value: int) -> int:
        if not MINUTE <= value <= DAY:
            raise ValueError("is 1m to 24h: how long a browser's session lasts with nobody there")
        return value

    @field_validator("login_idle")
    @classmethod
    def _check_login_idle(cls, value: int | None) -> int | None:
        if value is not None and not MINUTE <= value <= 32 * DAY:
            raise ValueError("is 1m to 32d: how long the token of a person's login lasts unused")
        return value

    @field_validator("session_timeout")
    @classmethod
    def _check_session_timeout(cls, value: int) -> int:
        if not MINUTE <= value <= 32 * DAY:
            raise ValueError("is 1m to 32d: how long a token lives that an API key was turned into")
        return value


class AuditSettings(Section):
    """The log that every answer waits for."""

    enabled: bool = True
    log_file: FilePath | None = None
    rotation_size: Size = Field(default=100 * 10**6, ge=1 * MIB)
    retention_days: int = Field(default=365, ge=1, le=36_500)
    forward_to_syslog: bool = False
    durability: Literal["fsync", "write"] = "fsync"

    @field_validator("enabled")
    @classmethod
    def _check_enabled(cls, value: bool) -> bool:
        if not value:
            raise ValueError("cannot be false: no value leaves the agent without its record")
        return value


class AnchorSettings(Section):
    """What is remembered outside database and audit log, so that older copies are noticed."""

    file: FilePath | None = None


class MonitoringSettings(Section):
    """What the agent tells about itself."""

    metrics_enabled: bool = True
    prometheus_endpoint: Literal["/metrics"] = "/metrics"
    health_check_interval: Duration = 30 * SECOND
    disk_low_free: Size = 1 << 30
    disk_low_percent: float = Field(default=10.0, ge=0, le=100)
    telemetry: TelemetrySettings = TelemetrySettings()

    @field_validator("health_check_interval")
    @classmethod
    def _check_interval(cls, value: int) -> int:
        if value != 30 * SECOND:
            raise ValueError(
                "cannot be changed: health is answered from the running state at each request"
            )
        return value


class RateSettings(Section):
    """A token bucket for each identity, after the design's `RateLimiter`.

    The default is above what one core can serve: it takes no part until somebody lowers it.
    """

    requests_per_second: float = Field(default=50_000.0, gt=0, le=1_000_000)
    burst_size: int = Field(default=50_000, ge=1, le=1_000_000)


class SelfService(Section):
    """How often a user or a token, with all that it made, may do what every token may.

    That is to look at and renew itself, and to be shown nothing. Each leaves one record of some
    700 bytes, or two: by default at most 2.5 GB a day for one.
    """

    per_second: float = Field(default=20.0, gt=0, le=1_000_000)
    burst_size: int = Field(default=200, ge=1, le=1_000_000)


class FailureSettings(Section):
    """How often authentication may fail for one address, and for all of them (`share` times that).

    Each failure leaves a durable record of some 600 bytes: by default at most 2.6 GB a day.
    """

    per_second: float = Field(default=1.0, gt=0, le=1_000_000)
    burst_size: int = Field(default=100, ge=1, le=1_000_000)
    share: int = Field(default=50, ge=1, le=65_536)


class RefusalSettings(Section):
    """How many refusals of one caller have a record of their own, and of all (`share` times that).

    The others share one record a minute. By default they are at most 4 GB a day.
    """

    per_second: float = Field(default=5.0, gt=0, le=1_000_000)
    burst_size: int = Field(default=500, ge=1, le=1_000_000)
    share: int = Field(default=10, ge=1, le=65_536)


MIN_BODY_BYTES: Final = 16 * MIB  # bytes of a process: some of the largest requests at a time


class LimitSettings(Section):
    """What one caller may ask of the agent, and what all of them together may."""

    rate: RateSettings = RateSettings()
    self_service: SelfService = SelfService()
    failures: FailureSettings = FailureSettings()
    refusals: RefusalSettings = RefusalSettings()
    connections: int = Field(default=10_000, ge=16, le=1_000_000)
    in_hand: int = Field(default=400, ge=16, le=100_000)
    max_delay: Duration = 100 * MILLISECOND
    body_bytes: Size = Field(default=128 * MIB, ge=MIN_BODY_BYTES)
    answer_bytes: Size = Field(default=128 * MIB, ge=64 * MIB)


class Settings(Section):
    """The whole file."""

    server: ServerSettings
    storage: StorageSettings
    encryption: EncryptionSettings = EncryptionSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    audit: AuditSettings = AuditSettings()
    anchor: AnchorSettings = AnchorSettings()
    backup: BackupSettings = BackupSettings()
    rotation: RotationSettings = RotationSettings()
    dynamic: DynamicSettings = DynamicSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    control_plane: ControlPlaneSettings = ControlPlaneSettings()
    limits: LimitSettings = LimitSettings()
    cache: CacheSettings = CacheSettings()

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        if self.storage.file is not None:
            if self.cache.redis is not None:
                raise ValueError(
                    "cache.redis is for several agents on one database, and a SQLite file has one: "
                    "leave it out, or take a server (storage.type)"
                )
            return self
        if self.audit.log_file is None:
            raise ValueError(
                f"audit.log_file is required with storage.type {self.storage.type}: it says where "
                "this machine keeps what is not in the database"
            )
        return self

    @property
    def data_folder(self) -> Path:
        """Where this machine keeps what belongs to the vault."""
        return (self.storage.file or self.audit_log).parent

    @property
    def audit_log(self) -> Path:
        """The audit log; beside the database file unless the configuration says where."""
        if self.audit.log_file is not None:
            return self.audit.log_file
        if self.storage.file is None:
            raise AssertionError("audit.log_file is required without a database file")
        return self.storage.file.with_name("audit.log")

    @property
    def anchor_file(self) -> Path:
        """The anchor; beside the audit log unless the file says where."""
        return self.anchor.file or self.audit_log.with_name(ANCHOR_NAME)

    @property
    def warmup_workers(self) -> int:
        """How many workers warm up a cache after a start, each its own; 0: none."""
        return self.server.workers if self.cache.warmup_enabled else 0

    @property
    def leader_warmup_workers(self) -> int:
        """1: the leader warms up its cache, too; 0: it does not, as beside workers that answer."""
        return self.warmup_workers if self.server.workers == 1 else 0


def _split_address(listen: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`; raises `ValueError`."""
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not (colon and bare and port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise ValueError("listen is not host:port, such as 127.0.0.1:8200 or [::1]:8200")
    return bare, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
