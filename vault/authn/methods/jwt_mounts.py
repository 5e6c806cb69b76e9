"""Auth mounts of the types `jwt` and `oidc`: configurations, roles, and how tokens are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Struct, field

from actors.world import World
from protocols.instant import SECOND
from vault.authn.jwt.claims import (
    MAX_LEEWAY,
    BoundClaims,
    ExpectedClaims,
    check_bound_claims,
    check_claims,
    claim_text,
    claim_texts,
    map_claims,
)
from vault.authn.jwt.compact import (
    ALGORITHMS,
    Claims,
    InvalidTokenError,
    parse_claims,
    parse_token,
)
from vault.authn.jwt.keys import UnusableKeyError, keys_from_jwks, keys_from_pem
from vault.authn.jwt.source_client import MAX_CA, SourceClient, SourceError, check_source_url
from vault.authn.jwt.source_client import make_context as check_ca
from vault.authn.jwt.sources import GivenKeys, KeySource, RemoteKeys, SourceSettings
from vault.authn.methods.method import (
    CONFIG,
    DURATION,
    MAX_ALIAS,
    MAX_GROUPS,
    MAX_METADATA,
    EntryChange,
    EntryReader,
    LoginRefusedError,
    LoginResult,
    TokenFields,
)
from vault.errors import ValidationError
from vault.model.records import AuthMountRow

ROLE: Final = "role"
LOGIN: Final = "login"
MAX_SOURCES: Final = 256  # mounts whose keys are kept
MAX_VALUES: Final = 200  # audiences, claims, mappings of a role
MAX_TEXT: Final = 4096
RESERVED_METADATA: Final = "role"  # says which role was used
Leeway = Annotated[int, msgspec.Meta(extra={"form": DURATION}, ge=-SECOND)]
"""ns; 0: the default, -1 s: none."""


class JwtConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mount's configuration: where the keys of its issuer come from, in one of four ways."""

    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_response_mode: str = ""
    oidc_response_types: tuple[str, ...] = ()
    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwks: str = ""
    jwt_validation_pubkeys: tuple[str, ...] = ()
    jwt_supported_algs: tuple[str, ...] = ()
    bound_issuer: str = ""
    default_role: str = ""
    provider_config: dict[str, Any] = field(default_factory=dict)
    namespace_in_state: bool = True
    override_allowed_server_names: tuple[str, ...] = ()

    @property
    def ways(self) -> int:
        """How many ways to keys are named."""
        named = (self.oidc_discovery_url, self.jwks_url, self.jwks, self.jwt_validation_pubkeys)
        return sum(map(bool, named))

    @property
    def issuer(self) -> str:
        """What tokens must name; empty: anything, as keys given by hand are the issuer."""
        return self.bound_issuer or self.oidc_discovery_url

    @property
    def source(self) -> SourceSettings:
        """Where keys are asked for."""
        discovered = bool(self.oidc_discovery_url)
        return SourceSettings(
            jwks_url=self.jwks_url,
            discovery_url=self.oidc_discovery_url,
            ca=self.oidc_discovery_ca_pem if discovered else self.jwks_ca_pem,
            names=self.override_allowed_server_names,
            algorithms=self.jwt_supported_algs,
        )


class JwtRole(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role: which tokens it takes, and who their holder is.

    Tokens need an end and a beginning, so `expiration_leeway` and `not_before_leeway`, which are
    for tokens without, change nothing.
    """

    role_type: str = "oidc"
    user_claim: str = ""
    user_claim_json_pointer: bool = False
    bound_audiences: tuple[str, ...] = ()
    bound_subject: str = ""
    bound_claims: dict[str, Any] = field(default_factory=dict)
    bound_claims_type: str = "string"
    claim_mappings: dict[str, str] = field(default_factory=dict)
    groups_claim: str = ""
    clock_skew_leeway: Leeway = 0
    expiration_leeway: Leeway = 0
    not_before_leeway: Leeway = 0
    max_age: Annotated[int, msgspec.Meta(extra={"form": DURATION}, ge=0)] = 0
    allowed_redirect_uris: tuple[str, ...] = ()
    oidc_scopes: tuple[str, ...] = ()
    callback_mode: str = "client"
    poll_interval: int = 5
    oidc_disable_confirmation: bool = False
    verbose_oidc_logging: bool = False  # taken from clients; a provider's tokens are never logged
    oauth2_metadata: tuple[str, ...] = ()
    token_policies_template_claims: bool = False

    @property
    def leeway(self) -> int:
        """Seconds."""
        if self.clock_skew_leeway < 0:
            return 0
        return min(self.clock_skew_leeway // SECOND or MAX_LEEWAY, MAX_LEEWAY)

    @property
    def bound(self) -> BoundClaims:
        """As they are compared."""
        return BoundClaims(
            values={
                name: tuple(value) if isinstance(value, list) else (value,)
                for name, value in self.bound_claims.items()
            },
            globs=self.bound_claims_type == "glob",
        )


@dataclass(frozen=True)
class Trusted:
    """A mount's configuration, and the keys that it leads to."""

    config: JwtConfig
    keys: KeySource


class JwtMounts:
    """The configurations of all mounts of both types, with their keys."""

    def __init__(self, entries: EntryReader, client: SourceClient, world: World) -> None:
        self.entries = entries
        self.client = client
        self.world = world
        self._trusted: dict[str, tuple[Mapping[str, Any], Trusted]] = {}

    async def trusted(self, mount: AuthMountRow) -> Trusted:
        """The configuration as it is now. Raises `ValidationError` where there is none."""
        entry = await self.entries.get(mount.id, CONFIG, CONFIG)
        if entry is None:
            raise ValidationError(
                "method_not_configured", "this auth mount has no configuration: write its config"
            )
        kept = self._trusted.get(mount.id)
        if kept is None or kept[0] != entry.document:
            config = msgspec.convert(entry.document, JwtConfig)
            kept = entry.document, Trusted(config, self._keys(config))
            if len(self._trusted) >= MAX_SOURCES:
                self._trusted.clear()
            self._trusted[mount.id] = kept
        return kept[1]

    async def role(self, mount: AuthMountRow, name: object, default: str) -> tuple[str, JwtRole]:
        """Name and document of a role. Raises `LoginRefusedError`, `ValidationError`."""
        wanted = name or default
        if not isinstance(wanted, str) or not wanted:
            raise ValidationError("role_missing", "missing role", field="role")
        entry = await self.entries.get(mount.id, ROLE, wanted.lower())
        if entry is None:
            raise LoginRefusedError(
                "login_refused", "login refused: see the role and the token", vault_message=
                "role could not be found",
            )  # fmt: skip
        return entry.name, msgspec.convert(entry.document, JwtRole)

    async def claims(self, mount: AuthMountRow, role: JwtRole, token: str) -> Claims:
        """The claims of a token that this role takes; all but groups and holder are checked.

        Raises `InvalidTokenError`, `UnavailableError`.
        """
        trusted = await self.trusted(mount)
        compact = parse_token(token)
        if trusted.config.jwt_supported_algs and (
            compact.algorithm not in trusted.config.jwt_supported_algs
        ):
            raise InvalidTokenError("its algorithm is not one of the mount's")
        await trusted.keys.verify(compact)
        claims = parse_claims(compact.payload)
        audiences = role.bound_audiences
        if role.role_type == "oidc" and not audiences:
            audiences = (trusted.config.oidc_client_id,)
        check_claims(
            claims,
            ExpectedClaims(
                issuer=trusted.config.issuer,
                audiences=audiences,
                subject=role.bound_subject,
                leeway=role.leeway,
            ),
            self.world.now() // SECOND,
        )
        check_bound_claims(claims, role.bound)
        return claims

    def _keys(self, config: JwtConfig) -> KeySource:
        algorithms = config.jwt_supported_algs
        if config.jwt_validation_pubkeys:
            return GivenKeys(keys_from_pem(config.jwt_validation_pubkeys, algorithms))
        if config.jwks:
            return GivenKeys(keys_from_jwks(config.jwks, algorithms))
        return RemoteKeys(config.source, self.client, self.world)


LOGIN_TYPE: Final = "jwt"
ROLE_ALIASES: Final = {
    "policies": "token_policies",
    "ttl": "token_ttl",
    "max_ttl": "token_max_ttl",
    "period": "token_period",
    "num_uses": "token_num_uses",
    "bound_cidrs": "token_bound_cidrs",
}
WAYS: Final = ("oidc_discovery_url", "jwks_url", "jwks", "jwt_validation_pubkeys")
_MODES: Final = ("", "query", "form_post")


def result_of(name: str, role: JwtRole, claims: Claims) -> LoginResult:
    """Who the holder of a token is. Raises `InvalidTokenError`."""
    alias = claim_text(claims, role.user_claim, pointer=role.user_claim_json_pointer)
    if len(alias.encode()) > MAX_ALIAS:
        raise InvalidTokenError("the claim that names its holder is too long")
    # A role without groups says nothing of them: what these deny stays, whichever role is chosen.
    groups = claim_texts(claims, role.groups_claim, MAX_GROUPS) if role.groups_claim else None
    mapped = map_claims(claims, role.claim_mappings)
    return LoginResult(
        alias=alias,
        alias_metadata={**mapped, RESERVED_METADATA: name},
        display_name=alias,
        token=role.token_parameters,
        metadata={**mapped, RESERVED_METADATA: name},
        groups=groups,
        role=name,
    )


def refused(error: InvalidTokenError) -> LoginRefusedError:
    """A login that is refused, with the reason: whoever has the token knows what it says."""
    return LoginRefusedError(
        "login_refused",
        f"login refused: {error.reason}",
        vault_message=f"error validating token: {error.reason}",
    )


def one_way(change: EntryChange[JwtConfig]) -> JwtConfig:
    """Whoever names another way to keys leaves the one before."""
    if not any(change.given.get(name) for name in WAYS):
        return change.new
    gone = {
        name: getattr(JwtConfig(), name)
        for name in (*WAYS, "oidc_discovery_ca_pem", "jwks_ca_pem")
        if name not in change.given
    }
    return msgspec.structs.replace(change.new, **gone)


def check_config(config: JwtConfig) -> None:
    """Raise `ValidationError` for what cannot be."""
    if config.ways != 1:
        raise ValidationError(
            "config_invalid",
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks' or 'oidc_discovery_url' "
            "must be set",
        )
    if config.provider_config:
        raise ValidationError(
            "config_invalid",
            "provider_config is not supported: have the provider put groups into the token",
            field="provider_config",
        )
    _check_options(config)
    for field_name in ("oidc_discovery_url", "jwks_url"):
        if url := getattr(config, field_name):
            check_source_url(url, field_name)
    for field_name in ("oidc_discovery_ca_pem", "jwks_ca_pem"):
        check_ca_field(getattr(config, field_name), field_name)
    try:
        if config.jwt_validation_pubkeys:
            keys_from_pem(config.jwt_validation_pubkeys, config.jwt_supported_algs)
        if config.jwks:
            keys_from_jwks(config.jwks, config.jwt_supported_algs)
    except UnusableKeyError as error:
        raise ValidationError("config_invalid", f"error parsing public key: {error}") from None


def _check_options(config: JwtConfig) -> None:
    for name in config.jwt_supported_algs:
        if name not in ALGORITHMS:
            raise ValidationError(
                "config_invalid",
                f"invalid jwt_supported_algs: choose of {', '.join(ALGORITHMS)}",
                field="jwt_supported_algs",
            )
    if config.oidc_response_mode not in _MODES or set(config.oidc_response_types) - {"code"}:
        raise ValidationError(
            "config_invalid", "oidc_response_types must be code, oidc_response_mode query or "
            "form_post", field="oidc_response_mode",
        )  # fmt: skip
    if bool(config.oidc_client_id) and not config.oidc_discovery_url:
        raise ValidationError(
            "config_invalid", "'oidc_client_id' needs 'oidc_discovery_url'", field="oidc_client_id"
        )
    if len(config.override_allowed_server_names) > 1:
        raise ValidationError(
            "config_invalid",
            "give one name in override_allowed_server_names",
            field="override_allowed_server_names",
        )


def check_ca_field(ca: str, name: str) -> None:
    """Raise `ValidationError` for authorities that are not in PEM."""
    try:
        usable = len(ca) <= MAX_CA and (not ca or check_ca(ca) is not None)
    except SourceError:
        usable = False
    if not usable:
        raise ValidationError("config_invalid", f"{name} must be certificates in PEM", field=name)


def check_role(role: JwtRole) -> None:
    """Raise `ValidationError` for what cannot be."""
    if role.role_type not in {"jwt", "oidc"}:
        raise _role_error("role_type", "role_type must be jwt or oidc")
    if not role.user_claim:
        raise _role_error("user_claim", "a user claim must be defined on the role")
    if role.role_type == "oidc" and not role.allowed_redirect_uris:
        raise _role_error(
            "allowed_redirect_uris",
            "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
        )
    bounds = (role.bound_audiences, role.bound_subject, role.bound_claims, role.token_bound_cidrs)
    if role.role_type == LOGIN_TYPE and not any(bounds):
        raise _role_error(
            "bound_audiences",
            "must have at least one bound constraint when creating/updating a role",
        )
    if role.bound_claims_type not in {"string", "glob"}:
        raise _role_error("bound_claims_type", "bound_claims_type must be string or glob")
    if role.callback_mode != "client":
        raise _role_error("callback_mode", "callback_mode must be client: others are not served")
    if role.clock_skew_leeway > MAX_LEEWAY * SECOND:
        raise _role_error("clock_skew_leeway", f"clock_skew_leeway is at most {MAX_LEEWAY} s")
    if role.oauth2_metadata or role.token_policies_template_claims:
        raise _role_error(
            "oauth2_metadata",
            "oauth2_metadata and token_policies_template_claims are not supported: a provider's "
            "tokens are never shown, and policies are templated by entity",
        )
    _check_claim_rules(role)


def _check_claim_rules(role: JwtRole) -> None:
    targets = list(role.claim_mappings.values())
    if RESERVED_METADATA in targets:
        raise _role_error(
            "claim_mappings", "metadata key \"role\" is reserved and may not be a mapping "
            "destination",
        )  # fmt: skip
    if len(set(targets)) != len(targets) or len(targets) >= MAX_METADATA:
        raise _role_error("claim_mappings", "multiple keys are mapped to one metadata key")
    for name, bound in role.bound_claims.items():
        values = bound if isinstance(bound, list) else [bound]
        if not values or len(values) > MAX_VALUES or len(name) > MAX_TEXT:
            raise _role_error("bound_claims", f"a bound claim has 1 to {MAX_VALUES} values")
        kinds = str if role.bound_claims_type == "glob" else str | int | float | bool
        if not all(isinstance(each, kinds) for each in values):
            raise _role_error("bound_claims", "bound claims are texts, numbers or booleans")
    if max(len(role.bound_claims), len(role.bound_audiences), len(targets)) > MAX_VALUES:
        raise _role_error("bound_claims", f"at most {MAX_VALUES} audiences and claims")


def _role_error(name: str, message: str) -> ValidationError:
    return ValidationError("role_invalid", message, field=name)
