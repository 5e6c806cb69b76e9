"""The OpenAPI 3.1 document, made from the declarations that decode the requests."""

from collections.abc import Iterable
from functools import cache
from typing import Final

import msgspec

from protocols.openapi import ApiDocument, ApiInfo, Schema
from protocols.openapi import ErrorBody as ErrorBody
from protocols.openapi import build_document as describe_all
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.model.name import MAX_NAME
from vault.model.path import MAX_BYTES

PREFIX: Final = "/api/v1/"
VERSION: Final = "1"

_ERRORS: Final = {
    400: "The request is malformed; `details.field` names the faulty field",
    401: "No credential, or one that does not count",
    403: "The caller may not do this",
    404: "There is nothing here that the caller may see",
    409: "The state is not the one that the request was made for",
    413: "The body or the value is too large",
    415: "The body is of another type than this takes",
    429: "Too many requests; try again after `Retry-After` seconds",
    500: "A fault of the agent; its log has more under the request id",
    503: "Not now: sealed, or audit log, database or disk do not work; nothing was done",
}
_SEGMENTS: Final[dict[str, Schema]] = {
    "path": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_BYTES,
        "description": "May hold slashes.",
    },
    "name": {"type": "string", "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
    "seq": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
ABOUT: Final = ApiInfo(
    title="Freehold",
    description="Secrets on the ground of whoever owns them.",
    version=VERSION,
    prefix=PREFIX,
    credential="A token or an API key; `X-Vault-Token` is read as well.",
    errors=_ERRORS,
    segments=_SEGMENTS,
)


def openapi_endpoint(resources: Iterable[Endpoints]) -> Endpoints:
    """The endpoint that serves the document of these resources, and of itself."""
    api = Endpoints("api", "This document.")

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(openapi_document([*resources, api]))

    @api.add("GET", "openapi.json", "This document", public=True, returns=ApiDocument)
    async def openapi(dialect: Dialect, request: Request) -> Reply:
        return Reply(200, encoded())

    return api


def openapi_document(resources: Iterable[Endpoints]) -> Schema:
    """The document, as plain data."""
    return describe_all(resources, ABOUT)
