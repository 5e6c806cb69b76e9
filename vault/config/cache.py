"""The `cache` section, after the design's `CacheConfig`."""

from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from protocols.settings.field_types import Duration, FilePath, Section, Size
from vault.config import machine_limits
from vault.config.tls import ClientTlsSettings
from vault.model.server_address import RedisAddress, parse_redis_address

MIB: Final = 1 << 20
MIN_DEFAULT_SIZE: Final = 64 * MIB  # some 45,000 secrets
MAX_DEFAULT_SIZE: Final = 8192 * MIB  # some 6,000,000

InvalidationEvent = Literal["write", "delete", "revoke", "policy", "rotate", "seal"]
INVALIDATION_EVENTS: Final[tuple[InvalidationEvent, ...]] = get_args(InvalidationEvent)
"""What makes the cache forget: new and edited versions; versions and secrets that are deleted or
destroyed; credentials, users and roles that are revoked or changed; policies; keys; sealing."""


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _default_size() -> int:
    return min(max(machine_limits.memory() // 8, MIN_DEFAULT_SIZE), MAX_DEFAULT_SIZE)


class RedisSettings(Section):
    """The Redis over which the agents of one database share their rate limits.

    `redis://HOST:PORT`, `rediss://…` with TLS, `unix:///SOCKET`. Nothing is stored in it.
    """

    url: SecretStr
    password_file: FilePath | None = None
    tls: ClientTlsSettings = ClientTlsSettings()

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        try:
            address = self.address
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        if address.password and self.password_file is not None:
            raise ValueError("has a password in url and password_file: choose one")
        if not address.tls and self.tls != ClientTlsSettings():
            raise ValueError("tls is for rediss://…")
        return self

    @property
    def address(self) -> RedisAddress:
        """Where it is."""
        return parse_redis_address(self.url.get_secret_value())


class CacheSettings(Section):
    """How much of the database is kept in memory, sealed as it lies there, and for how long.

    Under every setting an answer is as the last acknowledged commit left it: a `ttl` only says how
    long memory is held. Without one a row stays until it has to make room. Where no
    `max_size` is set it is an eighth of the memory that there is, from 64 MiB to 8 GiB.
    """

    max_size: Size = Field(default_factory=_default_size, ge=1 * MIB)
    eviction_policy: Annotated[Literal["lru", "lfu", "ttl"], BeforeValidator(_lower)] = "lru"
    ttl: Duration | None = None
    invalidation_events: tuple[InvalidationEvent, ...] = INVALIDATION_EVENTS
    warmup_enabled: bool = True
    redis: RedisSettings | None = None

    @field_validator("invalidation_events")
    @classmethod
    def _all(cls, value: tuple[InvalidationEvent, ...]) -> tuple[InvalidationEvent, ...]:
        lacking = [event for event in INVALIDATION_EVENTS if event not in value]
        if lacking:
            raise ValueError(
                f"cannot leave out {', '.join(lacking)}: what is gone would still be served; "
                "name all events, or leave the key out"
            )
        return value

    @model_validator(mode="after")
    def _time(self) -> Self:
        if self.eviction_policy == "ttl" and self.ttl is None:
            raise ValueError("eviction_policy: ttl needs ttl, such as 5m")
        return self
