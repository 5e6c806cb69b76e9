"""`auth.login`: the one operation of all logins. The rules are `vault.authn.logins`'."""

from dataclasses import dataclass

from msgspec.structs import replace

from vault import operations
from vault.authn.logins import Logins, VerifiedLogin
from vault.authn.mfa.proof import Proof
from vault.authn.tokens import IssuedToken, Tokens
from vault.errors import AuthenticationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Operation
from vault.model.payloads import LogIn


@dataclass(frozen=True)
class LoginHandlers:
    """The handler of `auth.login`."""

    logins: Logins
    tokens: Tokens

    def handlers(self) -> Handlers:
        """The operation this file serves."""
        return handler_table(
            Handler(
                operations.LOG_IN,
                run=self.log_in,
                capability=None,
                mutates=True,
                authenticate=self.authenticate,
                audit_request=_request,
                audit_response=_response,
            )
        )

    async def authenticate(self, op: Operation[LogIn, IssuedToken]) -> VerifiedLogin:
        """Step 1: who it is, by what the payload shows."""
        payload = op.payload
        factors = None if payload.codes is None else Proof(codes=payload.codes)
        return await self.logins.verify(payload.path, payload.fields, op.origin, factors)

    async def log_in(self, call: Call[LogIn]) -> IssuedToken:
        """Step 4: the token."""
        if not isinstance(call.login, VerifiedLogin):
            raise AuthenticationError("unauthenticated", "permission denied")
        issued = await self.logins.issue(call.login)
        if issued.requirement is not None:
            return issued
        policies = await self.tokens.identity_policies(issued.row)
        return replace(issued, identity_policies=policies)


def _request(payload: LogIn) -> object:
    """What the audit record shows: where, never what was shown there."""
    return {"path": payload.path}


def _response(issued: IssuedToken) -> object:
    """Which token it was, for whom, and what the method says of the login."""
    row = issued.row
    told = {
        "accessor": row.accessor,
        "policies": row.policies,
        "entity_id": row.user_id,
        "role": row.role or "",
        "waits_for_second_factor": issued.requirement is not None,
    }
    return told | dict(issued.details)
