"""`authentication.jwt`: issuers whose tokens count as they are, without a login."""

from typing import Annotated, Any, Final, Self

from pydantic import Field, field_validator, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section

HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
POLICY: Final = r"^[^\s\"]{1,128}$"
PolicyName = Annotated[str, Field(pattern=POLICY)]
Texts = tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...]
BoundValues = dict[
    Annotated[str, Field(min_length=1, max_length=512)],
    Annotated[tuple[str | int | bool, ...], Field(min_length=1, max_length=200)],
]


class JwtGrantSettings(Section):
    """Policies of tokens with these claims. Values are patterns: `*` is any text."""

    claims: Annotated[BoundValues, Field(min_length=1, max_length=32)]
    policies: Annotated[tuple[PolicyName, ...], Field(min_length=1, max_length=64)]


class JwtIssuerSettings(Section):
    """A trusted issuer. Its keys come from one of discovery (the default), a URL, or files.

    `ceiling`: policies without which nothing is allowed. `policies`: of every token; `grants`: of
    those with certain claims. `mount`: the auth mount whose aliases, and with them entities and
    groups, count for its tokens. `max_lifetime`: of a token, from its beginning to its end.
    """

    name: Annotated[str, Field(pattern=NAME)]
    issuer: Annotated[str, Field(min_length=1, max_length=1024)]
    audiences: Annotated[Texts, Field(min_length=1, max_length=32)]
    ceiling: Annotated[tuple[PolicyName, ...], Field(min_length=1, max_length=16)]
    policies: Annotated[tuple[PolicyName, ...], Field(max_length=64)] = ()
    grants: Annotated[tuple[JwtGrantSettings, ...], Field(max_length=256)] = ()
    bound_claims: Annotated[BoundValues, Field(max_length=32, default_factory=dict)]
    jwks_url: str = ""
    jwks_file: FilePath | None = None
    key_files: Annotated[tuple[FilePath, ...], Field(max_length=16)] = ()
    ca_file: FilePath | None = None
    algorithms: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    user_claim: Annotated[str, Field(min_length=1, max_length=512)] = "sub"
    mount: Annotated[str, Field(max_length=256)] = ""
    leeway: Duration = 30 * SECOND
    max_lifetime: Duration = 24 * HOUR

    @field_validator("leeway")
    @classmethod
    def _check_leeway(cls, value: int) -> int:
        if not 0 <= value <= 60 * SECOND:
            raise ValueError("is 0s to 60s: how far clocks may be apart")
        return value

    @field_validator("max_lifetime")
    @classmethod
    def _check_lifetime(cls, value: int) -> int:
        if not 60 * SECOND <= value <= 32 * DAY:
            raise ValueError("is 1m to 32d: how long a token of the issuer may live")
        return value

    @field_validator("policies", "ceiling")
    @classmethod
    def _check_policies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "root" in value:
            raise ValueError("cannot have root: no token of another issuer is root here")
        return value

    @model_validator(mode="after")
    def _check_ways(self) -> Self:
        ways: list[Any] = [self.jwks_url, self.jwks_file, self.key_files]
        if sum(map(bool, ways)) > 1:
            raise ValueError("has several of jwks_url, jwks_file and key_files: choose one")
        if any("root" in grant.policies for grant in self.grants):
            raise ValueError("grants root: no token of another issuer is root here")
        return self


class JwtSettings(Section):
    """Trusted issuers, each by its `iss`."""

    issuers: Annotated[tuple[JwtIssuerSettings, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _check_issuers(self) -> Self:
        for field in ("name", "issuer"):
            found = [getattr(each, field) for each in self.issuers]
            if len(set(found)) != len(found):
                raise ValueError(f"two issuers have the same {field}")
        return self
