"""Revocation of tokens that trusted issuers made: `jwt.*`."""

from dataclasses import dataclass

from vault import operations
from vault.authn.jwt_revocation import SUBJECT, TOKEN, JwtRevocations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import ListJwtRevocations, RevokeJwt
from vault.model.records import AuthEntryRow


@dataclass(frozen=True)
class JwtRevocationHandlers:
    """The handlers of `jwt.*`."""

    revocations: JwtRevocations

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.REVOKE_JWT,
                run=self.revoke,
                capability=Capability.UPDATE,
                mutates=True,
                audit_response=lambda row: {"id": row.id},
            ),
            Handler(
                operations.LIST_JWT_REVOCATIONS,
                run=self.list_all,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
        )

    async def revoke(self, call: Call[RevokeJwt]) -> AuthEntryRow:
        """Revoke a token, or all of a subject."""
        asked = call.payload
        return await self.revocations.revoke(
            asked.issuer, token_id=asked.token_id, subject=asked.subject
        )

    async def list_all(self, call: Call[ListJwtRevocations]) -> list[AuthEntryRow]:
        """Those in force."""
        asked = call.payload
        kind = SUBJECT if asked.subjects else TOKEN
        return await self.revocations.list_all(asked.issuer, kind, asked.after, asked.limit)
