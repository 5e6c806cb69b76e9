"""The native dialect: JSON structs in, JSON structs out, the seed's typed errors."""

from typing import ClassVar, Final

import msgspec

from vault.edge.dialect import Dialect
from vault.edge.native.audit import audit
from vault.edge.native.endpoint import routed
from vault.edge.native.keys import keys
from vault.edge.native.openapi import ErrorBody, describe
from vault.edge.native.policies import policies
from vault.edge.native.roles import roles
from vault.edge.native.secrets import secrets
from vault.edge.native.system import system
from vault.edge.native.tokens import tokens
from vault.edge.native.users import users
from vault.edge.reply import Reply
from vault.edge.router import Router
from vault.errors import AuthenticationError, MethodError, VaultError
from vault.model.instant import SECOND, rfc3339

PREFIX: Final = "/api/v1/"
MAX_BODY: Final = 1 << 21  # a value of 1 MiB, escaped and with its metadata


RESOURCES: Final = (
    secrets,
    policies,
    users,
    roles,
    keys,
    tokens,
    audit,
    system,
    describe((secrets, policies, users, roles, keys, tokens, audit, system)),
)


class Native(Dialect):
    """The dialect under `/api/v1/`."""

    name = "native"
    prefix = PREFIX
    router: ClassVar[Router] = routed(RESOURCES)
    max_body = MAX_BODY

    def error(self, error: VaultError, request_id: str) -> Reply:
        """The typed error, with what HTTP asks to be beside it."""
        body = ErrorBody(
            type=error.type,
            code=error.code,
            message=error.message,
            request_id=request_id,
            timestamp=rfc3339(self.world.now() // SECOND * SECOND),
            details=dict(error.details),
        )
        return Reply(error.status, msgspec.json.encode(body), headers=_headers(error))


def _headers(error: VaultError) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that an error asks for."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, MethodError):
        headers.append((b"allow", ", ".join(error.allow).encode()))  # RFC 9110, section 15.5.6
    if isinstance(error, AuthenticationError):
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, section 11.6.1
    return tuple(headers)
