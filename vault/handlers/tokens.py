"""Tokens: make, look up, renew, end. The rules are `vault.authn.tokens`'; here is who may ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

import msgspec

from actors.world import World
from vault import operations
from vault.authn import token_lifetime
from vault.authn.api_keys import ApiKeys
from vault.authn.methods.token_roles import RoleRequest
from vault.authn.tokens import IssuedToken, NewToken, Tokens, require_sudo
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.identity import ROOT_POLICY, Identity, Method
from vault.model.operation import Capability, OperationType, P
from vault.model.payloads import AccessorSelector, Nothing, RenewToken, TokenSelector
from vault.model.records import TokenRow

Token = TypeVar("Token", TokenRow, TokenRow | None, IssuedToken)

ORPHAN_PATH: Final = "auth/token/create-orphan"  # whoever may use it makes orphans without sudo


class SignedTokens(Protocol):
    """Tokens that trusted issuers made, of which nothing is stored."""

    def as_token(self, caller: Identity) -> TokenRow:
        """The token that a caller came with; raises `AuthenticationError` where there is none."""
        ...

    async def revoke_own(self, caller: Identity) -> None:
        """Revoke the token that a caller came with; raises `ValidationError` if it has no id."""
        ...


class CertificateTokens(Protocol):
    """Client certificates that count without a login, of which nothing is stored."""

    def as_token(self, caller: Identity) -> TokenRow | None:
        """The certificate that a caller came with, as a token; None: it came with none."""
        ...


@dataclass(frozen=True)
class TokenHandlers:
    """The handlers of `token.*`. An API key is looked up and revoked as a token by its holder.

    A client certificate that counts without a login is looked up alone.
    """

    tokens: Tokens
    keys: ApiKeys
    authorizer: Authorizer
    world: World
    check_renewal: Callable[[TokenRow], Awaitable[None]]
    """Raises where the auth method of a login's token does not let it be renewed any more."""

    find_role: Callable[[str], Awaitable[RoleRequest]]
    """A token role by its name. Raises `ValidationError` for one that is not there."""

    signed: SignedTokens | None = None
    """Tokens of trusted issuers; None: none counts."""

    certificates: CertificateTokens | None = None
    """Certificates without a login; None: none counts."""

    def handlers(self) -> Handlers:
        """The operations this file serves. Those that only the powerful may do take sudo."""
        update, sudo = Capability.UPDATE, Capability.SUDO
        return handler_table(
            Handler(
                operations.CREATE_TOKEN,
                run=self.create,
                capability=update,
                mutates=True,
                audit_request=_create_request,
                audit_response=_audit_response,
            ),
            _read_handler(operations.LOOK_UP_TOKEN, self.lookup, update),
            replace(
                _read_handler(operations.LOOK_UP_OWN_TOKEN, self.lookup_self, Capability.READ),
                is_self_service=True,
                may_be_stale=True,
            ),
            _read_handler(operations.LOOK_UP_ACCESSOR, self.lookup_accessor, update),
            Handler(
                operations.LIST_ACCESSORS,
                run=self.accessors,
                capability=sudo,
                audit_response=lambda found: {"count": len(found)},
            ),
            _mutation_handler(operations.RENEW_TOKEN, self.renew, update),
            replace(
                _mutation_handler(operations.RENEW_OWN_TOKEN, self.renew_self, update),
                is_self_service=True,
            ),
            _mutation_handler(operations.RENEW_ACCESSOR, self.renew_accessor, update),
            _mutation_handler(operations.REVOKE_TOKEN, self.revoke, update),
            _mutation_handler(operations.REVOKE_OWN_TOKEN, self.revoke_self, update),
            _mutation_handler(operations.REVOKE_ACCESSOR, self.revoke_accessor, update),
            _mutation_handler(operations.REVOKE_ORPHAN, self.revoke_orphan, sudo),
        )

    async def create(self, call: Call[NewToken]) -> IssuedToken:
        """A child of the caller's credential, or an orphan. Raises as `Tokens.create`."""
        new, role = call.payload, None
        sudo = self.authorizer.decide(
            AccessRequest(
                capability=Capability.SUDO,
                path=call.op.path,
                identity=call.identity,
                origin=call.op.origin,
                now=self.world.now(),
            )
        )
        remarks: tuple[str, ...] = ()
        if new.role:
            is_sudo = sudo.allowed or ROOT_POLICY in call.identity.policies
            require_sudo(new, is_orphan=False, sudo=is_sudo)  # the role says whether it is one
            role = await self.find_role(new.role)
            remarks = role.remarks(new)
            new = role.applied(new)
        issued = await self.tokens.create(
            call.identity,
            new,
            sudo=sudo.allowed,
            orphan=call.op.path == ORPHAN_PATH,
            limits=role,
            address=call.op.origin.ip,
        )
        unknown = self.authorizer.unknown_policy_warnings(issued.row.policies)
        warnings = remarks + issued.warnings + unknown
        return msgspec.structs.replace(issued, warnings=warnings)

    async def lookup(self, call: Call[TokenSelector]) -> IssuedToken:
        """The token of a text."""
        payload = call.payload
        return await self._known(await self.tokens.lookup(payload.token))

    async def lookup_self(self, call: Call[Nothing]) -> IssuedToken:
        """The caller's own token, or the API key or certificate as one."""
        shown = self._certificate(call.identity)
        if shown is not None:
            of_entity = sorted({*call.identity.policies} - {*shown.policies})
            return IssuedToken(row=shown, identity_policies=tuple(of_entity))
        return await self._known(await self._own(call.identity))

    async def lookup_accessor(self, call: Call[AccessorSelector]) -> IssuedToken:
        """The token of an accessor."""
        payload = call.payload
        return await self._known(await self.tokens.lookup_accessor(payload.accessor))

    async def accessors(self, _: Call[Nothing]) -> list[str]:
        """The accessors of all tokens."""
        return await self.tokens.list_accessors()

    async def renew(self, call: Call[RenewToken]) -> IssuedToken:
        """Renew the token of a text."""
        payload = call.payload
        return await self._renew(await self.tokens.lookup(payload.token), payload.increment)

    async def renew_self(self, call: Call[RenewToken]) -> IssuedToken:
        """Renew the caller's own token."""
        payload = call.payload
        row = self._certificate(call.identity) or await self._own(call.identity)
        if call.identity.method is Method.API_KEY or call.identity.is_transient:
            token_lifetime.renew_lifetime(
                row, payload.increment, self.world.now()
            )  # raises: it is not renewable
        return await self._renew(row, payload.increment)

    async def renew_accessor(self, call: Call[RenewToken]) -> IssuedToken:
        """Renew the token of an accessor."""
        payload = call.payload
        row = await self.tokens.lookup_accessor(payload.accessor)
        return await self._renew(row, payload.increment)

    async def _renew(self, row: TokenRow, increment: int) -> IssuedToken:
        await self.check_renewal(row)
        issued = await self.tokens.renew(row, increment)
        policies = await self.tokens.identity_policies(issued.row)
        return msgspec.structs.replace(issued, identity_policies=policies)

    async def _known(self, row: TokenRow) -> IssuedToken:
        policies = await self.tokens.identity_policies(row)
        return IssuedToken(row=row, identity_policies=policies)

    async def revoke(self, call: Call[TokenSelector]) -> TokenRow | None:
        """End the token of a text and what came from it; a text that is no token is no error."""
        payload = call.payload
        row = await self.tokens.find_by_text(payload.token)
        if row is not None:
            await self.tokens.revoke(row)
        return row

    async def revoke_self(self, call: Call[Nothing]) -> TokenRow:
        """End the caller's own token, or API key, and what came from it.

        Raises `ValidationError` for a certificate.
        """
        if self._certificate(call.identity) is not None:
            raise ValidationError(
                "certificate_not_revocable",
                "a client certificate is no token: revoke it at its authority and write the list "
                "to the auth mount's crls",
            )
        row = await self._own(call.identity)
        if call.identity.method is Method.API_KEY:
            await self.keys.revoke(call.identity, call.identity.credential)
        elif call.identity.is_transient and self.signed is not None:
            await self.signed.revoke_own(call.identity)
        else:
            await self.tokens.revoke(row)
        return row

    def _certificate(self, caller: Identity) -> TokenRow | None:
        if caller.method is not Method.CERTIFICATE or caller.holds_token:
            return None
        return None if self.certificates is None else self.certificates.as_token(caller)

    async def _own(self, caller: Identity) -> TokenRow:
        if caller.method is Method.API_KEY:
            return await self.keys.own_key_as_token(caller)
        if caller.is_transient and self.signed is not None:
            return self.signed.as_token(caller)
        return await self.tokens.lookup_self(caller)

    async def revoke_accessor(self, call: Call[AccessorSelector]) -> TokenRow:
        """End the token of an accessor and what came from it."""
        payload = call.payload
        row = await self.tokens.lookup_accessor(payload.accessor)
        await self.tokens.revoke(row)
        return row

    async def revoke_orphan(self, call: Call[TokenSelector]) -> TokenRow:
        """End the token of a text; its children stay, as orphans."""
        payload = call.payload
        row = await self.tokens.lookup(payload.token)
        await self.tokens.revoke_orphan(row)
        return row


def _read_handler(
    operation: OperationType[P, IssuedToken],
    run: Callable[[Call[P]], Awaitable[IssuedToken]],
    capability: Capability,
) -> Handler[P, IssuedToken]:
    return Handler(
        operation,
        run=run,
        capability=capability,
        audit_request=_audit_request,
        audit_response=_audit_response,
    )


def _mutation_handler(
    operation: OperationType[P, Token],
    run: Callable[[Call[P]], Awaitable[Token]],
    capability: Capability,
) -> Handler[P, Token]:
    return Handler(
        operation,
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
