"""What the HTTP server answers itself: a request too broken, too large or too slow for a dialect.

Often not even its path is known. So the body is an error in both dialects at once: Vault's clients
read `errors`, everybody else the typed fields.
"""

import logging
from http import HTTPStatus
from typing import Final

import msgspec

from actors.world import World
from vault.edge.native.openapi import ErrorBody
from vault.edge.reply import Reply
from vault.errors import ErrorType
from vault.model.instant import SECOND, rfc3339

log: Final = logging.getLogger("freehold.edge")


class ServerErrorBody(ErrorBody, frozen=True, kw_only=True):
    """A typed error that is a Vault error too."""

    errors: list[str]


def server_error_reply(
    status: int, code: str, message: str, world: World, request_id: str = ""
) -> Reply:
    """The reply, under an id that the log has too. `message` is the server's own."""
    request_id = request_id or world.new_id()
    log.info("request %s refused by the server: %s", request_id, code)
    body = ServerErrorBody(
        type=_type_of(status),
        code=code,
        message=message,
        request_id=request_id,
        timestamp=rfc3339(world.now() // SECOND * SECOND),
        errors=[message],
    )
    return Reply(status, msgspec.json.encode(body)).with_header(b"x-request-id", request_id)


def _type_of(status: int) -> ErrorType:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorType.RATE_LIMIT
    fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ErrorType.INTERNAL if fault else ErrorType.VALIDATION
