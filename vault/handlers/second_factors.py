"""Second factors: of logins that wait, own ones, and what administrators do. Rules: `authn.mfa`."""

from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import asdict, replace

from vault import operations
from vault.authn.mfa.configuration import MethodWritten, MfaConfiguration, StoredMethod
from vault.authn.mfa.enforcement import Enforcement
from vault.authn.mfa.login_factors import LoginFactors, WaitingLogin
from vault.authn.mfa.proof import Proof
from vault.authn.mfa.second_factors import (
    Enrolled,
    Generated,
    NewTotp,
    OwnFactors,
    SecondFactors,
    step_up_purpose,
)
from vault.authn.tokens import IssuedToken, Tokens
from vault.errors import AuthenticationError, ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.identity import Identity
from vault.model.operation import Capability, Operation
from vault.model.payloads import (
    FinishLogin,
    NameFactor,
    Nothing,
    SelectFactor,
    ShowFactor,
    WriteMfaMethod,
)
from vault.model.records import TokenRow

_WAITING: Final = "login/"  # begins what a passkey signs for, of a login that waits


@dataclass(frozen=True)
class SecondFactorHandlers:
    """The handlers of `mfa.*`, and of the second phase of logins."""

    factors: SecondFactors
    login_factors: LoginFactors
    configuration: MfaConfiguration
    tokens: Tokens

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {**self._of_logins(), **self._own(), **self._of_administrators()}

    def _of_logins(self) -> Handlers:
        return handler_table(
            Handler(
                operations.FINISH_LOGIN,
                run=self.finish_login,
                capability=None,
                mutates=True,
                authenticate=self.authenticate,
                audit_request=_nothing,
                audit_response=_issued,
            ),
            Handler(
                operations.BEGIN_LOGIN_PASSKEY,
                run=self.begin_login_passkey,
                capability=None,
                mutates=True,
                authenticate=self.authenticate,
                audit_request=_nothing,
                audit_response=_nothing,
            ),
        )

    def _own(self) -> Handlers:
        """Of one's own factors. To show one is for everybody; to change them takes a policy."""
        update = Capability.UPDATE
        return handler_table(
            Handler(
                operations.LIST_OWN_FACTORS,
                run=self.list_own,
                capability=None,
                is_self_service=True,
                audit_response=_count,
            ),
            Handler(
                operations.SHOW_FACTOR,
                run=self.verify,
                capability=None,
                mutates=True,
                is_self_service=True,
                audit_request=_nothing,
                audit_response=_accessor,
            ),
            Handler(
                operations.BEGIN_ASSERTION,
                run=self.begin_assertion,
                capability=None,
                mutates=True,
                is_self_service=True,
                audit_response=_nothing,
            ),
            Handler(
                operations.BEGIN_TOTP,
                run=self.begin_totp,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_nothing,
                audit_response=_nothing,
            ),
            Handler(
                operations.CONFIRM_TOTP,
                run=self.confirm_totp,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_nothing,
                audit_response=_enrolled,
            ),
            Handler(
                operations.BEGIN_PASSKEY,
                run=self.begin_passkey,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_response=_nothing,
            ),
            Handler(
                operations.REGISTER_PASSKEY,
                run=self.register_passkey,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_nothing,
                audit_response=_enrolled,
            ),
            Handler(
                operations.REMOVE_FACTOR,
                run=self.remove,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_factor,
            ),
            Handler(
                operations.RENEW_RECOVERY_CODES,
                run=self.renew_recovery_codes,
                capability=update,
                mutates=True,
                is_self_service=True,
                audit_request=_nothing,
                audit_response=_nothing,
            ),
            Handler(
                operations.GENERATE_OWN_FACTOR,
                run=self.generate_own,
                capability=update,
                mutates=True,
                audit_request=_selected,
                audit_response=_nothing,
            ),
        )

    def _of_administrators(self) -> Handlers:
        update, read = Capability.UPDATE, Capability.READ
        return handler_table(
            Handler(
                operations.LIST_FACTORS,
                run=self.list_factors,
                capability=read,
                audit_request=_selected,
                audit_response=_count,
            ),
            Handler(
                operations.GENERATE_FACTOR,
                run=self.generate,
                capability=update,
                mutates=True,
                audit_request=_selected,
                audit_response=_nothing,
            ),
            Handler(
                operations.DESTROY_FACTOR,
                run=self.destroy,
                capability=Capability.DELETE,
                mutates=True,
                audit_request=_selected,
            ),
            Handler(
                operations.LIST_MFA_METHODS,
                run=self.list_methods,
                capability=Capability.LIST,
                audit_response=lambda found: {"count": len(found)},
            ),
            Handler(
                operations.READ_MFA_METHOD,
                run=self.read_method,
                capability=read,
                audit_response=lambda found: {"id": found.id},
            ),
            Handler(
                operations.WRITE_MFA_METHOD,
                run=self.write_method,
                capability=update,
                mutates=True,
                audit_response=lambda written: {"id": written.id, "is_new": written.is_new},
            ),
            Handler(
                operations.DELETE_MFA_METHOD,
                run=self.delete_method,
                capability=Capability.DELETE,
                mutates=True,
            ),
            Handler(
                operations.LIST_ENFORCEMENTS,
                run=self.list_enforcements,
                capability=Capability.LIST,
                audit_response=lambda found: {"count": len(found)},
            ),
            Handler(
                operations.READ_ENFORCEMENT,
                run=self.read_enforcement,
                capability=read,
                audit_response=asdict,
            ),
            Handler(
                operations.WRITE_ENFORCEMENT,
                run=self.write_enforcement,
                capability=update,
                mutates=True,
                audit_request=asdict,
                audit_response=asdict,
            ),
            Handler(
                operations.DELETE_ENFORCEMENT,
                run=self.delete_enforcement,
                capability=Capability.DELETE,
                mutates=True,
            ),
        )

    async def authenticate(self, op: Operation[FinishLogin, Any]) -> WaitingLogin:
        """Step 1 of a login's second phase: the login that waits under the id."""
        return await self.login_factors.find(op.payload.request_id)

    async def finish_login(self, call: Call[FinishLogin]) -> IssuedToken:
        """Step 4: factors and token."""
        waiting, payload = _waiting(call), call.payload
        proof = Proof(codes=payload.codes, passcode=payload.passcode)
        if payload.assertion is not None:
            signed = await self.factors.check_assertion(
                waiting.entity_id, _WAITING + waiting.key, payload.assertion
            )
            proof = Proof(codes=payload.codes, passcode=payload.passcode, signed=signed)
        issued = await self.login_factors.finish(waiting, proof)
        policies = await self.tokens.identity_policies(issued.row)
        return replace(issued, identity_policies=policies)

    async def begin_login_passkey(self, call: Call[FinishLogin]) -> dict[str, Any]:
        """What a browser has a passkey sign for a login that waits."""
        waiting = _waiting(call)
        return await self.factors.begin_assertion(waiting.entity_id, _WAITING + waiting.key)

    async def list_own(self, call: Call[Nothing]) -> OwnFactors:
        """The caller's factors; none of a credential that belongs to no entity."""
        row = await self._row(call.identity)
        return await self.factors.list_own(row.user_id)

    async def verify(self, call: Call[ShowFactor]) -> TokenRow:
        """Show a factor for the caller's token."""
        row = await self._row(call.identity)
        return await self.factors.verify(row, await self._proof(row, call.payload))

    async def begin_assertion(self, call: Call[Nothing]) -> dict[str, Any]:
        """What a browser has a passkey sign for the caller's token."""
        row = await self._row(call.identity)
        return await self.factors.begin_assertion(row.user_id, step_up_purpose(row))

    async def begin_totp(self, call: Call[NameFactor]) -> NewTotp:
        """A new authenticator app."""
        row = await self._row(call.identity)
        return await self.factors.begin_totp(call.identity, row, call.payload.name)

    async def confirm_totp(self, call: Call[ShowFactor]) -> Enrolled:
        """It counts from now on."""
        row = await self._row(call.identity)
        return await self.factors.confirm_totp(call.identity, row, call.payload.passcode)

    async def begin_passkey(self, call: Call[Nothing]) -> dict[str, Any]:
        """A new passkey."""
        row = await self._row(call.identity)
        return await self.factors.begin_passkey(call.identity, row)

    async def register_passkey(self, call: Call[NameFactor]) -> Enrolled:
        """It counts from now on."""
        row, payload = await self._row(call.identity), call.payload
        return await self.factors.register_passkey(
            call.identity, row, payload.credential or {}, payload.name
        )

    async def remove(self, call: Call[ShowFactor]) -> None:
        """Remove an own factor."""
        row, payload = await self._row(call.identity), call.payload
        proof = await self._proof(row, payload)
        await self.factors.remove(call.identity, row, payload.factor, proof)

    async def renew_recovery_codes(self, call: Call[ShowFactor]) -> tuple[str, ...]:
        """New recovery codes."""
        row = await self._row(call.identity)
        proof = await self._proof(row, call.payload)
        return await self.factors.renew_recovery_codes(call.identity, row, proof)

    async def generate_own(self, call: Call[SelectFactor]) -> Generated:
        """A secret of a method for the caller's own entity."""
        row = await self._row(call.identity) if call.identity.holds_token else None
        if row is None or not row.user_id:
            raise ValidationError("no_entity", "missing entityID")
        return await self.factors.generate(
            call.identity, row.user_id, call.payload.method_id, own=True
        )

    async def list_factors(self, call: Call[SelectFactor]) -> OwnFactors:
        """The factors of an entity."""
        return await self.factors.list_own(call.payload.entity_id)

    async def generate(self, call: Call[SelectFactor]) -> Generated:
        """A secret of a method for an entity."""
        payload = call.payload
        return await self.factors.generate(
            call.identity, payload.entity_id, payload.method_id, own=False
        )

    async def destroy(self, call: Call[SelectFactor]) -> None:
        """Take factors of an entity away."""
        payload = call.payload
        await self.factors.destroy(call.identity, payload.entity_id, payload.method_id)

    async def list_methods(self, _: Call[Nothing]) -> list[StoredMethod]:
        """The methods that were written."""
        return await self.configuration.list_methods()

    async def read_method(self, call: Call[Nothing]) -> StoredMethod:
        """One method."""
        return await self.configuration.read_method(call.name)

    async def write_method(self, call: Call[WriteMfaMethod]) -> MethodWritten:
        """Make or change a method."""
        payload = call.payload
        return await self.configuration.write_method(payload.fields, method_id=payload.method_id)

    async def delete_method(self, call: Call[Nothing]) -> None:
        """Delete a method."""
        await self.configuration.delete_method(call.name)

    async def list_enforcements(self, _: Call[Nothing]) -> dict[str, Enforcement]:
        """All enforcements."""
        return await self.configuration.list_enforcements()

    async def read_enforcement(self, call: Call[Nothing]) -> Enforcement:
        """One enforcement."""
        return await self.configuration.read_enforcement(call.name)

    async def write_enforcement(self, call: Call[Enforcement]) -> Enforcement:
        """Make or replace an enforcement."""
        return await self.configuration.write_enforcement(call.name, call.payload)

    async def delete_enforcement(self, call: Call[Nothing]) -> None:
        """Delete an enforcement."""
        await self.configuration.delete_enforcement(call.name)

    async def _row(self, caller: Identity) -> TokenRow:
        """The caller's own token. Raises `ValidationError` where it has none."""
        if not caller.holds_token:
            raise ValidationError(
                "not_a_token",
                "second factors are shown for a token that is stored: log in at an auth mount",
            )
        return await self.tokens.lookup_self(caller)

    async def _proof(self, row: TokenRow, payload: ShowFactor) -> Proof:
        if payload.assertion is None:
            return Proof(passcode=payload.passcode)
        signed = await self.factors.check_assertion(
            row.user_id, step_up_purpose(row), payload.assertion
        )
        return Proof(passcode=payload.passcode, signed=signed)


def _waiting(call: Call[FinishLogin]) -> WaitingLogin:
    if not isinstance(call.login, WaitingLogin):
        raise AuthenticationError("unauthenticated", "permission denied")
    return call.login


def _issued(issued: IssuedToken) -> object:
    """The audit record of an issued token, as that of a login."""
    row = issued.row
    told = {
        "accessor": row.accessor,
        "policies": row.policies,
        "entity_id": row.user_id,
        "role": row.role or "",
    }
    return told | dict(issued.details)


def _accessor(row: TokenRow) -> object:
    return {"accessor": row.accessor, "entity_id": row.user_id}


def _enrolled(found: Enrolled) -> object:
    return {"factor": found.factor.id, "recovery_codes": len(found.recovery_codes)}


def _factor(payload: ShowFactor) -> object:
    return {"factor": payload.factor}


def _selected(payload: SelectFactor) -> object:
    return {"entity_id": payload.entity_id, "method_id": payload.method_id}


def _count(found: OwnFactors) -> object:
    return {"count": len(found.factors)}


def _nothing(_: object) -> object:
    """The audit record of codes and secrets: nothing of them."""
    return None
