"""What a token may do on paths of the Vault-compatible API (`sys/capabilities`)."""

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authn.tokens import Tokens
from vault.authz.access import AccessRequest
from vault.authz.api_paths import native_access
from vault.authz.authorizer import Authorizer
from vault.authz.evaluate import is_granted
from vault.authz.policy_conversion import acl_paths
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.acl.access import AclCapability
from vault.model.acl.policy import AclPath
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import CheckCapabilities, Nothing
from vault.model.records import TokenRow
from vault.model.results import ResultantAcl

MAX_PATHS: Final = 1_000  # of a request


@dataclass(frozen=True)
class CapabilityHandlers:
    """The handlers of `policy.capabilities` and `policy.own_capabilities`."""

    authorizer: Authorizer
    tokens: Tokens
    mounts: MountTable
    world: World
    pacer: Pacer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.CHECK_OWN_CAPABILITIES, run=self.own, capability=None,
                is_self_service=True,
            ),
            Handler(operations.CHECK_CAPABILITIES, run=self.of_token, capability=Capability.UPDATE),
            Handler(
                operations.READ_HELP, run=self.help, capability=None, is_self_service=True,
                is_audited=False,
            ),
            Handler(
                operations.READ_RESULTANT_ACL, run=self.resultant, capability=None,
                is_self_service=True,
            ),
        )  # fmt: skip

    async def own(self, call: Call[CheckCapabilities]) -> dict[str, list[str]]:
        """What the caller may do on each path."""
        return await self._by_path(call, call.identity)

    async def help(self, _: Call[Nothing]) -> None:
        """Nothing but that the caller is known: what paths answer to is no secret."""

    async def resultant(self, call: Call[Nothing]) -> ResultantAcl:
        """What the caller's policies say, path by path; natively written ones as near as can be.

        It is for people to look at: where a ceiling or the permissions of a key bind the caller,
        or conditions do, less is allowed than it says.
        """
        identity = call.identity
        if ROOT_POLICY in identity.policies:
            return ResultantAcl(root=True)
        acl = self.authorizer.compiled_policies(identity).rules.acl
        exact, begun = ({}, {}) if acl is None else acl.listing(self.world.now())
        for policy in self.authorizer.effective_policies(identity):
            await self.pacer.pace()
            for path, verbs in acl_paths(policy, self.mounts)[0].items():
                place, start = (begun, path[:-1]) if path.endswith("*") else (exact, path)
                known = place.get(start, AclPath(path=path))
                both = verbs | known.capabilities
                both = frozenset({_V.DENY}) if _V.DENY in both else both
                place[start] = replace(known, capabilities=both)
        single = {path: said for path, said in exact.items() if "+" not in path.split("/")}
        return ResultantAcl(root=False, exact_paths=single, glob_paths=begun)

    async def of_token(self, call: Call[CheckCapabilities]) -> dict[str, list[str]]:
        """What a token may do on each path. Raises `ValidationError` for one that is not known."""
        token = await self._token(call.payload)
        identity = await self.tokens.identity_of(token.accessor)
        if identity is None:
            raise ValidationError("token_unknown", "invalid token")
        if not self.authorizer.is_ready(identity):
            await self.authorizer.prepare(identity)
        return await self._by_path(call, identity)

    async def _token(self, payload: CheckCapabilities) -> TokenRow:
        if payload.accessor:
            return await self.tokens.lookup_accessor(payload.accessor)
        token = await self.tokens.find_by_text(payload.token)
        if token is None:
            raise ValidationError("token_unknown", "invalid token")
        return token

    async def _by_path(
        self, call: Call[CheckCapabilities], identity: Identity
    ) -> dict[str, list[str]]:
        paths = call.payload.paths
        if len(paths) > MAX_PATHS:
            raise ValidationError("paths_invalid", f"at most {MAX_PATHS} paths", field="paths")
        if ROOT_POLICY in identity.policies and not (identity.permissions or identity.ceiling):
            return {path: [ROOT_POLICY] for path in paths}
        if identity.ceiling:
            own = await self._by_path(call, replace(identity, ceiling=()))
            bound = replace(identity, policies=identity.ceiling, denied_by=(), ceiling=())
            over = await self._by_path(call, replace(bound, permissions=()))
            return {path: _common(own[path], over[path]) for path in own}
        policies, found = self.authorizer.compiled_policies(identity), dict[str, list[str]]()
        acl, native = policies.rules.acl, policies.without_acl()
        for path in paths:
            # What is said of the path counts, whether or not limits on requests hold.
            said = _NOTHING if acl is None else acl.capabilities(path, self.world.now())
            found[path] = []
            for verb in () if _V.DENY in said else _ORDER:
                await self.pacer.pace()
                access = self._access(call, identity, path, verb)
                if verb in said:
                    allowed = not policies.grants or (
                        access is not None and is_granted(policies.grants, access)
                    )
                else:
                    allowed = access is not None and native.decide(access).allowed
                if allowed:
                    found[path].append(verb.value)
            found[path] = found[path] or [_V.DENY.value]
        return found

    def _access(
        self, call: Call[CheckCapabilities], identity: Identity, path: str, verb: AclCapability
    ) -> AccessRequest | None:
        """The path as what it is in the native API, too; None for what is no path there."""
        capability, place = native_access(verb, path.strip("/"), self.mounts)
        try:
            resource = (
                ResourcePath.parse_folder(place)
                if not place or place.endswith("/")
                else ResourcePath.parse(place)
            )
        except ValidationError:
            return None
        return AccessRequest(
            capability=capability,
            path=resource,
            identity=identity,
            origin=call.op.origin,
            now=self.world.now(),
        )


def _common(own: list[str], over: list[str]) -> list[str]:
    """What both say; root says everything."""
    if ROOT_POLICY in own or ROOT_POLICY in over:
        return over if ROOT_POLICY in own else own
    return [verb for verb in own if verb in over] or [_V.DENY.value]


_NOTHING: Final = frozenset[AclCapability]()
_V: Final = AclCapability
_ORDER: Final = (
    _V.CREATE, _V.DELETE, _V.LIST, _V.PATCH, _V.READ, _V.SCAN, _V.SUDO, _V.UPDATE,
)  # fmt: skip
