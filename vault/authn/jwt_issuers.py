"""Trusted issuers of the settings, as `vault.authn.jwt_credentials` takes them."""

from pathlib import Path
from typing import Final

from actors.world import World
from protocols.instant import SECOND
from vault.authn.aliases import AliasMount
from vault.authn.jwt.claims import BoundClaims
from vault.authn.jwt.compact import ALGORITHMS
from vault.authn.jwt.keys import UnusableKeyError, keys_from_jwks, keys_from_pem
from vault.authn.jwt.source_client import (
    MAX_BODY,
    MAX_CA,
    SourceClient,
    SourceError,
    check_source_url,
    make_context,
)
from vault.authn.jwt.sources import GivenKeys, KeySource, RemoteKeys, SourceSettings
from vault.authn.jwt_credentials import FindMount, JwtGrant, TrustedIssuer
from vault.config.jwt_issuers import BoundValues, JwtIssuerSettings, JwtSettings
from vault.errors import SetupError, ValidationError
from vault.model.auth_mounts import AUTH, AuthMountTable

_SECTION: Final = "authentication.jwt.issuers"


def make_issuers(
    settings: JwtSettings, client: SourceClient, world: World
) -> tuple[TrustedIssuer, ...]:
    """The issuers with their keys. Raises `SetupError` naming the key of the settings."""
    return tuple(_issuer(each, client, world) for each in settings.issuers)


def mounts_by_path(mounts: AuthMountTable) -> FindMount:
    """What finds the auth mount at a path, as aliases know it."""

    def find(path: str) -> AliasMount | None:
        row = mounts.get(f"{path.strip('/')}/")
        return None if row is None else AliasMount(row.accessor, f"{AUTH}{row.path}", row.type)

    return find


def _issuer(settings: JwtIssuerSettings, client: SourceClient, world: World) -> TrustedIssuer:
    place = f"{_SECTION} ({settings.name})"
    if unknown := sorted(set(settings.algorithms) - set(ALGORITHMS)):
        raise SetupError(
            "setting_invalid", f"{place}: algorithms has {unknown[0]}: choose of "
            f"{', '.join(ALGORITHMS)}",
        )  # fmt: skip
    try:
        keys = _keys(settings, client, world)
    except (OSError, UnicodeDecodeError):
        raise SetupError(
            "setting_invalid", f"{place}: a file of keys or certificates cannot be read"
        ) from None
    except UnusableKeyError as error:
        raise SetupError("setting_invalid", f"{place}: {error}") from None
    except SourceError as error:
        raise SetupError("setting_invalid", f"{place}: ca_file: {error.reason}") from None
    except ValidationError as error:
        raise SetupError("setting_invalid", f"{place}: {error.message}") from None
    return TrustedIssuer(
        name=settings.name,
        issuer=settings.issuer,
        audiences=settings.audiences,
        keys=keys,
        ceiling=settings.ceiling,
        policies=settings.policies,
        grants=tuple(
            JwtGrant(_bound(grant.claims, globs=True), grant.policies) for grant in settings.grants
        ),
        bound=_bound(settings.bound_claims, globs=True),
        algorithms=settings.algorithms,
        user_claim=settings.user_claim,
        mount=settings.mount,
        leeway=settings.leeway // SECOND,
        lifetime=settings.max_lifetime // SECOND,
    )


def _keys(settings: JwtIssuerSettings, client: SourceClient, world: World) -> KeySource:
    algorithms = settings.algorithms
    if settings.key_files:
        texts = [_read(path, MAX_CA) for path in settings.key_files]
        return GivenKeys(keys_from_pem(texts, algorithms))
    if settings.jwks_file is not None:
        return GivenKeys(keys_from_jwks(_read(settings.jwks_file, MAX_BODY), algorithms))
    ca = "" if settings.ca_file is None else _read(settings.ca_file, MAX_CA)
    make_context(ca)
    check_source_url(settings.jwks_url or settings.issuer, "jwks_url")
    return RemoteKeys(
        SourceSettings(
            jwks_url=settings.jwks_url,
            discovery_url="" if settings.jwks_url else settings.issuer,
            ca=ca,
            algorithms=algorithms,
        ),
        client,
        world,
    )


def _read(path: Path, most: int) -> str:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UnusableKeyError("a file is too large")
    return data.decode()


def _bound(values: BoundValues, *, globs: bool) -> BoundClaims:
    """Patterns where all values are texts; else the values themselves."""
    texts = all(isinstance(each, str) for found in values.values() for each in found)
    return BoundClaims(values=dict(values), globs=globs and texts)
