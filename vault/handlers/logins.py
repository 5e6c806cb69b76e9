"""`auth.login`: the one operation of all logins. The rules are `vault.authn.logins`'."""

from dataclasses import dataclass

from msgspec.structs import replace

from vault import operations
from vault.authn.logins import Logins, VerifiedLogin
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
        return await self.logins.verify(op.payload.path, op.payload.fields, op.origin)

    async def log_in(self, call: Call[LogIn]) -> IssuedToken:
        """Step 4: the token."""
        if call.login is None:
            raise AuthenticationError("unauthenticated", "permission denied")
        issued = await self.logins.issue(call.login)
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
    }
    return told | dict(issued.details)
