"""Requests that ask for no operation: the path, the method or the body is not one of the API's.

The caller is authenticated first, and the refusal is on record as any other. For a request whose
head cannot be trusted, and for one that needs no credential, it is on record as anonymous.
"""

from dataclasses import dataclass
from typing import NoReturn

from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.payloads import MalformedRequest, RefusedRequest


@dataclass(frozen=True)
class MalformedRequestHandlers:
    """The handlers of `request.*`."""

    authorizer: Authorizer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.MALFORMED_REQUEST,
                run=self.refuse,
                capability=None,
                only_refuses=True,
                audit_request=_audit_request,
            ),
            Handler(
                operations.REFUSED_REQUEST,
                run=refuse_unread_request,
                capability=None,
                only_refuses=True,
                anonymous=True,
                audit_request=_audit_request,
            ),
        )

    async def refuse(self, call: Call[MalformedRequest]) -> NoReturn:
        """Raise the payload's error; `AuthorizationError` where the caller may do nothing at all.

        What is wrong with a request in a mount says that the mount is there.
        """
        payload = call.payload
        if payload.folder and not self.authorizer.can_reach(call.identity, payload.folder):
            raise AuthorizationError("permission_denied", "permission denied")
        raise payload.error


async def refuse_unread_request(call: Call[RefusedRequest]) -> NoReturn:
    """Raise why it is refused."""
    payload = call.payload
    kind = AuthorizationError if payload.denied else ValidationError
    raise kind(payload.code, payload.message)


def _audit_request(payload: MalformedRequest | RefusedRequest) -> object:
    """What the audit record tells, each hashed."""
    return {"method": payload.method, "path": payload.path}
