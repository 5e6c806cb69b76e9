"""The native dialect: JSON structs in, JSON structs out, the seed's typed errors."""

from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from vault.edge.dialect import Dialect
from vault.edge.native import endpoint
from vault.edge.native.endpoint import Endpoint
from vault.edge.reply import Reply
from vault.edge.router import Router
from vault.errors import VaultError
from vault.model.instant import SECOND, rfc3339

PREFIX: Final = "/api/v1/"
MAX_BODY: Final = 1 << 21  # a value of 1 MiB, escaped and with its metadata


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The seed's APIError."""

    type: str
    code: str
    message: str
    request_id: str
    timestamp: str
    details: dict[str, object] = {}


class Native(Dialect):
    """The dialect under `/api/v1/`."""

    name = "native"
    prefix = PREFIX
    router: ClassVar[Router] = Router()
    max_body = MAX_BODY

    def error(self, error: VaultError, request_id: str) -> Reply:
        """The typed error; `Retry-After` where the error knows when to try again."""
        body = ErrorBody(
            type=error.type,
            code=error.code,
            message=error.message,
            request_id=request_id,
            timestamp=rfc3339(self.world.now() // SECOND * SECOND),
            details=dict(error.details),
        )
        return Reply(error.status, msgspec.json.encode(body), headers=error_headers(error))


def error_headers(error: VaultError) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that an error asks for: `Retry-After`, `Allow`, `WWW-Authenticate`."""
    headers: list[tuple[bytes, bytes]] = []
    if "retry_after" in error.details:
        headers.append((b"retry-after", str(error.details["retry_after"]).encode()))
    if "allow" in error.details:
        allowed = error.details["allow"]
        headers.append((b"allow", ", ".join(allowed).encode()))  # type: ignore[arg-type]  # a list of str by its only maker, the router
    if error.status == 401:  # noqa: PLR2004  # RFC 9110, section 11.6.1
        headers.append((b"www-authenticate", b"Bearer"))
    return tuple(headers)


def install(endpoints: list[Endpoint]) -> None:
    """Add endpoints to the dialect."""
    endpoint.install(Native.router, endpoints)
