"""Requests that ask for no operation: the path, the method or the body is not one of the API's.

Whoever sends one shows who he is first, and the refusal is on record as any other.
"""

from dataclasses import dataclass
from typing import NoReturn

from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.payloads import MalformedRequest


@dataclass(frozen=True)
class MalformedRequests:
    """The handler of `request.malformed`."""

    authorizer: Authorizer

    def handlers(self) -> Handlers:
        """The operation this file serves."""
        handler = Handler(run=self.refuse, capability=None, refuses=True, request=_seen)
        return {"request.malformed": handler}

    async def refuse(self, call: Call) -> NoReturn:
        """Raise the payload's error; `AuthorizationError` where the caller may do nothing at all.

        What is wrong with a request in a mount says that the mount is there.
        """
        payload: MalformedRequest = call.payload
        if payload.folder and not self.authorizer.reaches(call.identity, payload.folder):
            raise AuthorizationError("permission_denied", "permission denied")
        raise payload.error


def _seen(payload: MalformedRequest) -> object:
    """What the audit record tells, each hashed."""
    return {"method": payload.method, "path": payload.path}
