"""The native dialect: JSON structs in, JSON structs out, the design's typed errors."""

from typing import Any, ClassVar, Final

import msgspec

from vault.edge.native.audit import audit
from vault.edge.native.auth import auth
from vault.edge.native.backups import backups
from vault.edge.native.batch import batch
from vault.edge.native.break_glass import break_glass
from vault.edge.native.changes import changes
from vault.edge.native.consumers import consumers
from vault.edge.native.dynamic import dynamic
from vault.edge.native.endpoint import build_router
from vault.edge.native.entities import entities
from vault.edge.native.groups import groups
from vault.edge.native.jwt_revocations import jwt_revocations
from vault.edge.native.keys import keys
from vault.edge.native.mfa import mfa
from vault.edge.native.mount_moves import mount_moves
from vault.edge.native.nodes import nodes
from vault.edge.native.openapi import openapi_endpoint
from vault.edge.native.policies import policies
from vault.edge.native.policy_replays import replays
from vault.edge.native.roles import roles
from vault.edge.native.rotations import rotations
from vault.edge.native.secrets import secrets
from vault.edge.native.sessions import SessionDialect, sessions
from vault.edge.native.system import system
from vault.edge.native.tokens import tokens
from vault.edge.native.usage import usage
from vault.edge.native.users import users
from vault.edge.native.views import error_body
from vault.edge.native.wrapping import requested_ttl, wrapped_reply, wrapping
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Route, Router
from vault.errors import AuthenticationError, MethodError, VaultError

PREFIX: Final = "/api/v1/"
MAX_BODY: Final = 1 << 21  # a value of 1 MiB, escaped and with its metadata

_DOCUMENTED: Final = (
    secrets,
    rotations,
    dynamic,
    consumers,
    batch,
    changes,
    policies,
    replays,
    users,
    entities,
    mfa,
    groups,
    nodes,
    jwt_revocations,
    roles,
    keys,
    tokens,
    auth,
    sessions,
    wrapping,
    audit,
    backups,
    system,
    mount_moves,
    break_glass,
    usage,
)
RESOURCES: Final = (
    *_DOCUMENTED,
    openapi_endpoint(_DOCUMENTED),
)


class NativeDialect(SessionDialect):
    """The dialect under `/api/v1/`."""

    name = "native"
    prefix = PREFIX
    router: ClassVar[Router] = build_router(RESOURCES)
    max_body = MAX_BODY

    def find_route(self, request: Request, path: str) -> tuple[Route, tuple[Any, ...]]:
        """Answer a request. The wrapping TTL is checked before anything is done."""
        request.wrap_ttl = requested_ttl(request)
        return super().find_route(request, path)

    async def finish(self, request: Request, route: Route, reply: Reply) -> Reply:
        """Wrapped, where the request asks for that."""
        if not request.wrap_ttl:
            return reply
        return await wrapped_reply(self, request, reply, only_tokens=route.public)

    def error_reply(self, error: VaultError, request_id: str) -> Reply:
        """The typed error, with what HTTP asks to be beside it."""
        body = error_body(error, request_id, self.world.now())
        return Reply(error.status, msgspec.json.encode(body), headers=_headers(error))


def _headers(error: VaultError) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that an error asks for."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, MethodError):
        headers.append((b"allow", ", ".join(error.allow).encode()))  # RFC 9110, section 15.5.6
    if isinstance(error, AuthenticationError):
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, section 11.6.1
    return tuple(headers)
