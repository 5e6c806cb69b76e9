"""Tokens: make, look up, renew, end. The rules are `vault.authn.tokens`'; here is who may ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from actors.world import World
from vault.authn import token_lifetime
from vault.authn.api_keys import ApiKeys
from vault.authn.tokens import IssuedToken, NewToken, Tokens
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.identity import Identity, Method
from vault.model.operation import Capability
from vault.model.payloads import AccessorSelector, RenewToken, TokenSelector
from vault.model.records import TokenRow

Run = Callable[[Call], Awaitable[object]]

ORPHAN_PATH: Final = "auth/token/create-orphan"  # whoever may use it makes orphans without sudo


@dataclass(frozen=True)
class TokenHandlers:
    """The handlers of `token.*`. An API key is looked up and revoked as a token by its holder."""

    tokens: Tokens
    keys: ApiKeys
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves. Those that only the powerful may do take sudo."""
        update, sudo = Capability.UPDATE, Capability.SUDO
        return {
            "token.create": Handler(
                run=self.create,
                capability=update,
                mutates=True,
                audit_request=_create_request,
                audit_response=_audit_response,
            ),
            "token.lookup": _read_handler(self.lookup, update),
            "token.lookup_self": replace(
                _read_handler(self.lookup_self, Capability.READ), is_self_service=True
            ),
            "token.lookup_accessor": _read_handler(self.lookup_accessor, update),
            "token.accessors": Handler(
                run=self.accessors,
                capability=sudo,
                audit_response=lambda found: {"count": len(found)},
            ),
            "token.renew": _mutation_handler(self.renew, update),
            "token.renew_self": replace(
                _mutation_handler(self.renew_self, update), is_self_service=True
            ),
            "token.renew_accessor": _mutation_handler(self.renew_accessor, update),
            "token.revoke": _mutation_handler(self.revoke, update),
            "token.revoke_self": _mutation_handler(self.revoke_self, update),
            "token.revoke_accessor": _mutation_handler(self.revoke_accessor, update),
            "token.revoke_orphan": _mutation_handler(self.revoke_orphan, sudo),
        }

    async def create(self, call: Call) -> IssuedToken:
        """A child of the caller's credential, or an orphan. Raises as `Tokens.create`."""
        new: NewToken = call.payload
        sudo = self.authorizer.decide(
            AccessRequest(
                capability=Capability.SUDO,
                path=call.op.path,
                identity=call.identity,
                origin=call.op.origin,
                now=self.world.now(),
            )
        )
        issued = await self.tokens.create(
            call.identity, new, sudo=sudo.allowed, orphan=call.op.path == ORPHAN_PATH
        )
        warnings = issued.warnings + self.authorizer.unknown_policy_warnings(issued.row.policies)
        return msgspec.structs.replace(issued, warnings=warnings)

    async def lookup(self, call: Call) -> TokenRow:
        """The token of a text."""
        payload: TokenSelector = call.payload
        return await self.tokens.lookup(payload.token)

    async def lookup_self(self, call: Call) -> TokenRow:
        """The caller's own token, or the API key as one."""
        return await self._own(call.identity)

    async def lookup_accessor(self, call: Call) -> TokenRow:
        """The token of an accessor."""
        payload: AccessorSelector = call.payload
        return await self.tokens.lookup_accessor(payload.accessor)

    async def accessors(self, _: Call) -> list[str]:
        """The accessors of all tokens."""
        return await self.tokens.list_accessors()

    async def renew(self, call: Call) -> IssuedToken:
        """Renew the token of a text."""
        payload: RenewToken = call.payload
        return await self.tokens.renew(await self.tokens.lookup(payload.token), payload.increment)

    async def renew_self(self, call: Call) -> IssuedToken:
        """Renew the caller's own token."""
        payload: RenewToken = call.payload
        row = await self._own(call.identity)
        if call.identity.method is Method.API_KEY:
            token_lifetime.renew_lifetime(
                row, payload.increment, self.world.now()
            )  # raises: it is not renewable
        return await self.tokens.renew(row, payload.increment)

    async def renew_accessor(self, call: Call) -> IssuedToken:
        """Renew the token of an accessor."""
        payload: RenewToken = call.payload
        row = await self.tokens.lookup_accessor(payload.accessor)
        return await self.tokens.renew(row, payload.increment)

    async def revoke(self, call: Call) -> TokenRow | None:
        """End the token of a text and what came from it; a text that is no token is no error."""
        payload: TokenSelector = call.payload
        row = await self.tokens.find_by_text(payload.token)
        if row is not None:
            await self.tokens.revoke(row)
        return row

    async def revoke_self(self, call: Call) -> TokenRow:
        """End the caller's own token, or API key, and what came from it."""
        row = await self._own(call.identity)
        if call.identity.method is Method.API_KEY:
            await self.keys.revoke(call.identity, call.identity.credential)
        else:
            await self.tokens.revoke(row)
        return row

    async def _own(self, caller: Identity) -> TokenRow:
        if caller.method is Method.API_KEY:
            return await self.keys.own_key_as_token(caller)
        return await self.tokens.lookup_self(caller)

    async def revoke_accessor(self, call: Call) -> TokenRow:
        """End the token of an accessor and what came from it."""
        payload: AccessorSelector = call.payload
        row = await self.tokens.lookup_accessor(payload.accessor)
        await self.tokens.revoke(row)
        return row

    async def revoke_orphan(self, call: Call) -> TokenRow:
        """End the token of a text; its children stay, as orphans."""
        payload: TokenSelector = call.payload
        row = await self.tokens.lookup(payload.token)
        await self.tokens.revoke_orphan(row)
        return row


def _read_handler(run: Run, capability: Capability) -> Handler:
    return Handler(
        run=run, capability=capability, audit_request=_audit_request, audit_response=_audit_response
    )


def _mutation_handler(run: Run, capability: Capability) -> Handler:
    return Handler(
        run=run,
        capability=capability,
        mutates=True,
        audit_request=_audit_request,
        audit_response=_audit_response,
    )


def _audit_request(payload: object) -> object:
    """What the audit record tells of the request: never the text of a token, not even hashed."""
    match payload:
        case AccessorSelector(accessor=accessor):
            return {"accessor": accessor}
        case RenewToken(accessor=accessor, increment=increment):
            return {"accessor": accessor, "increment": increment}
        case _:
            return None


def _audit_response(result: TokenRow | IssuedToken | None) -> object:
    """What the audit record tells of the answer: which token it was."""
    row = result.row if isinstance(result, IssuedToken) else result
    return None if row is None else {"accessor": row.accessor, "policies": row.policies}


def _create_request(new: NewToken) -> object:
    """As asked for, without a text that root may have chosen."""
    return {**msgspec.structs.asdict(new), "id": None}
