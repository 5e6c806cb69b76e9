"""`jwt` and `oidc`: whoever shows a token of a trusted issuer, or comes back from one, logs in.

Both types are one method, as in Vault: the mount's configuration says where keys come from, a role
whom it is for. A role of type `jwt` takes a token that the caller has; one of type `oidc` sends a
browser to the provider first (`vault.authn.methods.oidc_flow`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from vault.authn.jwt.compact import InvalidTokenError
from vault.authn.jwt.source_client import SourceError
from vault.authn.jwt.sources import RemoteKeys
from vault.authn.methods.documents import (
    checked_token_fields,
    folded_name,
    require_secret_again,
)
from vault.authn.methods.jwt_mounts import (
    LOGIN,
    LOGIN_TYPE,
    ROLE,
    ROLE_ALIASES,
    JwtConfig,
    JwtMounts,
    JwtRole,
    check_config,
    check_role,
    one_way,
    refused,
    result_of,
)
from vault.authn.methods.method import (
    CONFIG,
    Action,
    ActionVerb,
    EntryChange,
    EntryKind,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
)
from vault.authn.methods.oidc_flow import AUTH_URL, CALLBACK, STATE, BeginOidc, OidcFlow, OidcState
from vault.errors import ValidationError
from vault.model.identity import Method
from vault.model.records import AuthMountRow, TokenRow

_PROVIDER: Final = (
    "oidc_discovery_url",
    "oidc_discovery_ca_pem",
    "override_allowed_server_names",
)


class JwtMethod:
    """`LoginMethod` of one of the two types."""

    login_paths = (LOGIN,)

    def __init__(self, kind: Method, mounts: JwtMounts, new_secret: Callable[[], str]) -> None:
        """`kind`: `Method.JWT` or `Method.OIDC`. `new_secret`: 256 random bits as text."""
        self.type = str(kind)
        self._mounts = mounts
        self._flow = OidcFlow(mounts, new_secret)
        self.kinds: Mapping[str, EntryKind[Any]] = {
            CONFIG: EntryKind(
                name=CONFIG,
                document=JwtConfig,
                sealed=frozenset({"oidc_client_secret"}),
                write_only={"skip_jwks_validation": bool},
                prepare=self._prepare_config,
            ),
            STATE: EntryKind(
                name=STATE,
                document=OidcState,
                sealed=frozenset({"verifier", "client_nonce"}),
                internal=True,
            ),
            ROLE: EntryKind(
                name=ROLE,
                document=JwtRole,
                aliases=ROLE_ALIASES,
                canonical=folded_name,
                prepare=self._prepare_role,
            ),
        }
        self.actions: Mapping[str, Action[Any]] = {
            "auth_url": Action(
                name="auth_url",
                verb=ActionVerb.BEGIN,
                path=AUTH_URL,
                run=self._flow.begin,
                fields=BeginOidc,
            ),
        }

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # the signature of `LoginMethod`
        """Nobody's: a signature is not guessed."""
        return ""

    async def login(self, request: LoginRequest) -> LoginResult:
        """See `LoginMethod`. By a token, or by what a provider sent a browser back with."""
        if request.path == CALLBACK:
            return await self._flow.finish(request)
        config = (await self._mounts.trusted(request.mount)).config
        fields = request.fields
        name, role = await self._mounts.role(request.mount, fields.get("role"), config.default_role)
        if role.role_type != LOGIN_TYPE:
            raise LoginRefusedError(
                "login_refused",
                "login refused: see the role and the token",
                vault_message="role with oidc role_type is not allowed",
            )
        token = fields.get("jwt")
        if not isinstance(token, str) or not token:
            raise ValidationError("token_missing", "missing token", field="jwt")
        try:
            claims = await self._mounts.claims(request.mount, role, token)
            return result_of(name, role, claims)
        except InvalidTokenError as error:
            raise refused(error) from None

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """The role has to be there still; a signed statement cannot be asked for again."""
        name = token.role if isinstance(token.role, str) else ""
        if await self._mounts.entries.get(mount.id, ROLE, name) is None:
            raise LoginRefusedError("role_gone", "its role is gone: log in again")

    async def _prepare_config(self, change: EntryChange[JwtConfig]) -> JwtConfig:
        new = one_way(change)
        check_config(new)
        require_secret_again(replace(change, new=new), "oidc_client_secret", _PROVIDER)
        if not change.given.get("skip_jwks_validation") and (
            new.jwks_url or new.oidc_discovery_url
        ):
            try:
                await RemoteKeys(new.source, self._mounts.client, self._mounts.world).check()
            except SourceError as error:
                raise ValidationError(
                    "source_invalid",
                    f"error checking the {'OIDC discovery' if new.oidc_discovery_url else 'JWKS'} "
                    f"URL: {error.reason}",
                ) from None
        return new

    async def _prepare_role(self, change: EntryChange[JwtRole]) -> JwtRole:
        check_role(change.new)
        return checked_token_fields(change.new)
