"""What a token may do on paths of the Vault-compatible API (`sys/capabilities`)."""

from dataclasses import dataclass
from typing import Final

from actors.world import World
from vault import operations
from vault.authn.tokens import Tokens
from vault.authz.access import AccessRequest
from vault.authz.api_paths import native_access
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import CheckCapabilities
from vault.model.records import TokenRow

MAX_PATHS: Final = 1_000  # of a request


@dataclass(frozen=True)
class CapabilityHandlers:
    """The handlers of `policy.capabilities` and `policy.own_capabilities`."""

    authorizer: Authorizer
    tokens: Tokens
    mounts: MountTable
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.CHECK_OWN_CAPABILITIES, run=self.own, capability=None,
                is_self_service=True,
            ),
            Handler(operations.CHECK_CAPABILITIES, run=self.of_token, capability=Capability.UPDATE),
        )  # fmt: skip

    async def own(self, call: Call[CheckCapabilities]) -> dict[str, list[str]]:
        """What the caller may do on each path."""
        return self._by_path(call, call.identity)

    async def of_token(self, call: Call[CheckCapabilities]) -> dict[str, list[str]]:
        """What a token may do on each path. Raises `ValidationError` for one that is not known."""
        token = await self._token(call.payload)
        identity = await self.tokens.identity_of(token.accessor)
        if identity is None:
            raise ValidationError("invalid_token", "invalid token")
        if not self.authorizer.is_ready(identity):
            await self.authorizer.prepare(identity)
        return self._by_path(call, identity)

    async def _token(self, payload: CheckCapabilities) -> TokenRow:
        if payload.accessor:
            return await self.tokens.lookup_accessor(payload.accessor)
        token = await self.tokens.find_by_text(payload.token)
        if token is None:
            raise ValidationError("invalid_token", "invalid token")
        return token

    def _by_path(self, call: Call[CheckCapabilities], identity: Identity) -> dict[str, list[str]]:
        paths = call.payload.paths
        if len(paths) > MAX_PATHS:
            raise ValidationError("paths_invalid", f"at most {MAX_PATHS} paths", field="paths")
        return {path: self._capabilities(call, identity, path) for path in paths}

    def _capabilities(
        self, call: Call[CheckCapabilities], identity: Identity, path: str
    ) -> list[str]:
        if ROOT_POLICY in identity.policies and not identity.permissions:
            return [ROOT_POLICY]
        found = [one.value for one in _ORDER if self._is_allowed(call, identity, path, one)]
        return found or [AclCapability.DENY.value]

    def _is_allowed(
        self, call: Call[CheckCapabilities], identity: Identity, path: str, verb: AclCapability
    ) -> bool:
        """By policies in either form: the path is taken for what it is in the native API, too."""
        capability, place = native_access(verb, path.strip("/"), self.mounts)
        try:
            resource = (
                ResourcePath.parse_folder(place)
                if not place or place.endswith("/")
                else ResourcePath.parse(place)
            )
        except ValidationError:
            return False
        access = AccessRequest(
            capability=capability,
            path=resource,
            identity=identity,
            origin=call.op.origin,
            now=self.world.now(),
            api=ApiAccess(path=path, operation=verb, parameters=dict),
        )
        return self.authorizer.decide(access).allowed


_V: Final = AclCapability
_ORDER: Final = (
    _V.CREATE, _V.DELETE, _V.LIST, _V.PATCH, _V.READ, _V.SCAN, _V.SUDO, _V.UPDATE,
)  # fmt: skip
