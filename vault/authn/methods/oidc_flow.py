"""Login by a browser at an OpenID Connect provider: code flow with PKCE, state and nonce.

The first half makes a URL for the browser and keeps what the second half needs under a random
`state`, sealed, for five minutes. The provider sends the browser back with a code to where the
role allows it: the listener of a command line (`http://localhost:8250/oidc/callback`) or a page of
the agent. Whoever listens there presents state and code; the state is spent before the code is.
OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 8252, 7.3.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from protocols.instant import SECOND
from protocols.outbound import is_loopback
from vault.authn.jwt.claims import check_audience
from vault.authn.jwt.compact import Claims, InvalidTokenError
from vault.authn.jwt.digest import digest_of
from vault.authn.jwt.source_client import SourceError, SourceRequest
from vault.authn.jwt.sources import RemoteKeys
from vault.authn.methods.jwt_mounts import (
    JwtConfig,
    JwtMounts,
    JwtRole,
    Trusted,
    refused,
    result_of,
)
from vault.authn.methods.method import (
    ActionRequest,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.records import AuthMountRow

STATE: Final = "oidc-state"
AUTH_URL: Final = "oidc/auth_url"
CALLBACK: Final = "oidc/callback"
STATE_LIFETIME: Final = 300 * SECOND
MAX_FIELD: Final = 2048
_STATE_PREFIX: Final = "st_"
_BASIC_AUTH: Final = "client_secret_basic"


class OidcState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept between the halves of a login."""

    role: str
    redirect_uri: str
    nonce: str
    verifier: str = ""
    client_nonce: str = ""


class BeginOidc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants to log in, and where the browser goes afterwards."""

    role: str = ""
    redirect_uri: str = ""
    client_nonce: str = ""


class _TokenResponse(Struct):
    id_token: str


class OidcFlow:
    """Both halves, for the mounts of both types."""

    def __init__(self, mounts: JwtMounts, new_secret: Callable[[], str]) -> None:
        self._mounts = mounts
        self._new_secret = new_secret

    async def begin(self, request: ActionRequest[BeginOidc]) -> Mapping[str, Any]:
        """The URL of the provider that a browser goes to.

        Raises `ValidationError`, `LoginRefusedError`, `UnavailableError`.
        """
        trusted = await self._mounts.trusted(request.mount)
        config, keys = trusted.config, _provider(trusted)
        fields, redirect = request.fields, request.fields.redirect_uri
        if max(map(len, (redirect, fields.client_nonce, fields.role))) > MAX_FIELD:
            raise ValidationError("field_invalid", f"a field has at most {MAX_FIELD} characters")
        if not redirect:
            raise ValidationError(
                "redirect_uri_missing", "missing redirect_uri", field="redirect_uri"
            )
        name, role = await self._role(request.mount, fields.role, config)
        if not is_allowed_redirect(redirect, role.allowed_redirect_uris):
            raise ValidationError(
                "redirect_uri_not_allowed",
                "redirect_uri is not one of the role's: add it to allowed_redirect_uris",
                field="redirect_uri",
            )
        metadata, _ = await keys.metadata()
        state = _STATE_PREFIX + self._new_secret()
        kept = OidcState(
            role=name,
            redirect_uri=redirect,
            nonce=self._new_secret(),
            verifier=self._new_secret(),
            client_nonce=fields.client_nonce,
        )
        until = self._mounts.world.now() + STATE_LIFETIME
        await self._mounts.entries.transact(
            request.mount.id,
            lambda tx: tx.put(
                STATE, state, msgspec.to_builtins(kept), expires_at=until, uses_left=1
            ),
        )
        return {"auth_url": _url(metadata.authorization_endpoint, config, role, kept, state)}

    async def finish(self, request: LoginRequest) -> LoginResult:
        """Who came back. Raises `LoginRefusedError`, `ValidationError`, `UnavailableError`."""
        trusted = await self._mounts.trusted(request.mount)
        keys = _provider(trusted)
        fields = request.fields
        state, code = _text(fields, "state"), _text(fields, "code")
        kept = await self._take(request.mount, state, _text(fields, "client_nonce"))
        if not code:
            raise _refused_error("the provider sent no code: see what it says in the browser")
        name, role = await self._role(request.mount, kept.role, trusted.config)
        token = await self._exchange(keys, trusted.config, kept, code)
        try:
            claims = await self._mounts.claims(request.mount, role, token)
            _check_id_token(claims, trusted.config, role, kept, self._mounts.world.now() // SECOND)
            return replace(result_of(name, role, claims), is_person=True)
        except InvalidTokenError as error:
            raise refused(error) from None

    async def _role(
        self, mount: AuthMountRow, name: object, config: JwtConfig
    ) -> tuple[str, JwtRole]:
        found, role = await self._mounts.role(mount, name, config.default_role)
        if role.role_type != "oidc":
            raise ValidationError(
                "role_invalid", 'role with "jwt" role_type is not allowed', field="role"
            )
        return found, role

    async def _take(self, mount: AuthMountRow, state: str, client_nonce: str) -> OidcState:
        """What was kept, once."""
        missing = _refused_error("expired or missing OAuth state")
        if not state.startswith(_STATE_PREFIX):
            raise missing
        entry = await self._mounts.entries.get(mount.id, STATE, state)
        if entry is None:
            raise missing
        kept = msgspec.convert(entry.document, OidcState)
        if not compare_digest(kept.client_nonce.encode(), client_nonce.encode()):
            raise _refused_error("invalid client_nonce")
        taken = await self._mounts.entries.transact(mount.id, lambda tx: tx.spend(STATE, state))
        if not taken:
            raise missing
        return kept

    async def _exchange(
        self, keys: RemoteKeys, config: JwtConfig, kept: OidcState, code: str
    ) -> str:
        """The ID token for a code."""
        metadata, reached = await keys.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": kept.redirect_uri,
            "code_verifier": kept.verifier,
        }
        headers = {}
        if config.oidc_client_secret and (
            _BASIC_AUTH in metadata.token_endpoint_auth_methods_supported
        ):
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = (
                f"{quote(config.oidc_client_id, safe='')}:"
                f"{quote(config.oidc_client_secret, safe='')}"
            )
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = config.oidc_client_id
            if config.oidc_client_secret:
                form["client_secret"] = config.oidc_client_secret
        source = config.source
        try:
            answer = await self._mounts.client.send(
                SourceRequest(
                    source=source.source,
                    url=metadata.token_endpoint,
                    method="POST",
                    headers=headers,
                    form=form,
                    ca=source.ca,
                    names=source.names,
                    within=reached,
                )
            )
            if answer.status == HTTPStatus.OK:
                return answer.decode(_TokenResponse).id_token
        except SourceError as error:
            raise UnavailableError(
                "source_unavailable", f"the identity provider cannot be asked: {error.reason}"
            ) from None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(
                "source_unavailable", f"the identity provider answers {answer.status}: try later"
            )
        raise _refused_error("the provider refused the code: see client id and secret, or retry")


def is_allowed_redirect(uri: str, allowed: tuple[str, ...]) -> bool:
    """Whether a role allows it: exactly, but for the port on this machine (RFC 8252, 7.3)."""
    if uri in allowed:
        return True
    try:
        wanted = urlsplit(uri)
        local = wanted.scheme == "http" and is_loopback(wanted.hostname or "")
        return local and any(
            (each.scheme, each.hostname, each.path, each.query, each.fragment)
            == (wanted.scheme, wanted.hostname, wanted.path, wanted.query, wanted.fragment)
            and "@" not in wanted.netloc
            for each in map(urlsplit, allowed)
        )
    except ValueError:
        return False


def _url(endpoint: str, config: JwtConfig, role: JwtRole, kept: OidcState, state: str) -> str:
    """With the query that the endpoint has already."""
    parts = urlsplit(endpoint)
    query = {
        "client_id": config.oidc_client_id,
        "code_challenge": digest_of(kept.verifier),
        "code_challenge_method": "S256",
        "nonce": kept.nonce,
        "redirect_uri": kept.redirect_uri,
        "response_type": "code",
        "scope": " ".join(dict.fromkeys(("openid", *role.oidc_scopes))),
        "state": state,
    }
    if config.oidc_response_mode:
        query["response_mode"] = config.oidc_response_mode
    if role.max_age:
        query["max_age"] = str(role.max_age // SECOND)
    return parts._replace(query=urlencode([*parse_qsl(parts.query), *query.items()])).geturl()


def _check_id_token(
    claims: Claims, config: JwtConfig, role: JwtRole, kept: OidcState, now: int
) -> None:
    """What an ID token says beside other tokens (OpenID Connect Core 1.0, 3.1.3.7)."""
    nonce, party = claims.get("nonce"), claims.get("azp", config.oidc_client_id)
    if not isinstance(nonce, str) or not compare_digest(nonce.encode(), kept.nonce.encode()):
        raise InvalidTokenError("its nonce is another one")
    check_audience(claims, (config.oidc_client_id,))
    if party != config.oidc_client_id:
        raise InvalidTokenError("its authorized party (azp) is another one")
    if role.max_age:
        at = claims.get("auth_time")
        if not isinstance(at, int) or now > at + role.max_age // SECOND + role.leeway:
            raise InvalidTokenError("its holder logged in at the provider too long ago (auth_time)")


def _provider(trusted: Trusted) -> RemoteKeys:
    if not isinstance(trusted.keys, RemoteKeys) or not trusted.config.oidc_client_id:
        raise ValidationError(
            "oidc_not_configured",
            "OIDC login is not configured for this mount: set oidc_discovery_url and "
            "oidc_client_id in its config",
        )
    return trusted.keys


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_FIELD:
        raise ValidationError("field_invalid", f"{name} must be a text", field=name)
    return value


def _refused_error(reason: str) -> LoginRefusedError:
    return LoginRefusedError(
        "login_refused", f"login refused: {reason}", vault_message=f"login failed: {reason}"
    )
