"""The OpenAPI 3.1 document, made from the declarations that decode the requests."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import JSON, Endpoint, Endpoints
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.errors import ErrorType
from vault.model.name import MAX_NAME
from vault.model.path import MAX_BYTES
from vault.model.payloads import Nothing

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
_SEGMENT: Final = {"type": "string", "minLength": 1}
_SEGMENTS: Final = {
    "path": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_BYTES,
        "description": "May hold slashes.",
    },
    "name": {"type": "string", "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
    "seq": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
_ALWAYS: Final = (400, 413, 500)
_WITH_CREDENTIAL: Final = (401, 403, 429, 503)
_LATER: Final = (429, 503)  # those that say when to try again

Schema = dict[str, Any]


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The seed's APIError: `code` is stable and for programs, `message` is for people."""

    type: ErrorType
    code: str
    message: str
    request_id: str
    timestamp: str
    details: dict[str, Any] = {}


class ApiDocument(Struct, frozen=True):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def describe(resources: Iterable[Endpoints]) -> Endpoints:
    """The endpoint that serves the document of these resources, and of itself."""
    api = Endpoints("api", "This document.")

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(document([*resources, api]))

    @api.add("GET", "openapi.json", "This document", public=True, returns=ApiDocument)
    async def openapi(dialect: Dialect, request: Request) -> Reply:
        return Reply(200, encoded())

    return api


def document(resources: Iterable[Endpoints]) -> Schema:
    """The document, as plain data."""
    resources = list(resources)
    endpoints = [endpoint for resource in resources for endpoint in resource.all]
    schemas = _Schemas(endpoints)
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        path = paths.setdefault(PREFIX + endpoint.template, {})
        path[endpoint.method.lower()] = _operation(endpoint, schemas)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": VERSION,
            "description": "Secrets on the ground of whoever owns them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "tags": [{"name": r.tag, "description": r.about} for r in resources],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {f"Error{status}": _error(status, schemas) for status in _ERRORS},
            "headers": {
                "RequestId": _header("The request's id, as in the log and the audit log"),
                "RetryAfter": _header("Seconds to wait", {"type": "string", "pattern": "^[0-9]+$"}),
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token or an API key; `X-Vault-Token` is read as well.",
                }
            },
        },
    }
    plain: Schema = msgspec.json.decode(msgspec.json.encode(whole))  # defaults are tuples, structs
    return plain


class _Schemas:
    """The schema of every type that the endpoints name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        types = [ErrorBody, *dict.fromkeys(t for e in endpoints for t in _types(e))]
        found, self.components = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        self._found = dict(zip(map(repr, types), found, strict=True))

    def of(self, shape: Any) -> Schema:
        """A schema, or a reference to one."""
        return self._found[repr(shape)]

    def fields(self, shape: type[Struct]) -> tuple[dict[str, Schema], list[str]]:
        """The properties of a struct, and which of them are required."""
        schema = self.components[self.of(shape)["$ref"].rpartition("/")[2]]
        return schema["properties"], schema.get("required", [])


def _types(endpoint: Endpoint) -> Iterator[Any]:
    yield endpoint.schema or endpoint.body
    yield endpoint.query
    if endpoint.returns is not None:
        yield endpoint.returns


def _operation(endpoint: Endpoint, schemas: _Schemas) -> Schema:
    operation: Schema = {
        "operationId": f"{endpoint.tag}_{endpoint.answer.__name__.rstrip('_')}",
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, schemas)],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.public:
        operation["security"] = []
    if endpoint.body is not Nothing:
        schema = schemas.of(endpoint.schema or endpoint.body)
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {endpoint.media_type: {"schema": schema}},
        }
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterator[Schema]:
    for part in endpoint.template.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "schema": _SEGMENTS.get(name, _SEGMENT),
            }


def _query_parameters(endpoint: Endpoint, schemas: _Schemas) -> Iterator[Schema]:
    properties, required = schemas.fields(endpoint.query)
    for name, schema in properties.items():
        yield {"name": name, "in": "query", "required": name in required, "schema": schema}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> Schema:
    success: Schema = {"description": "Done", "headers": _headers(endpoint.status)}
    if endpoint.status != NO_CONTENT:
        success["content"] = {JSON: {"schema": schemas.of(endpoint.returns)}}
    statuses = {*_ALWAYS, *endpoint.errors}
    statuses.update(() if endpoint.public else _WITH_CREDENTIAL)
    statuses.update((404,) if "{" in endpoint.template else ())
    refused = {str(s): {"$ref": f"#/components/responses/Error{s}"} for s in sorted(statuses)}
    return {str(endpoint.status): success, **refused}


def _error(status: int, schemas: _Schemas) -> Schema:
    return {
        "description": _ERRORS[status],
        "headers": _headers(status),
        "content": {JSON: {"schema": schemas.of(ErrorBody)}},
    }


def _headers(status: int) -> Schema:
    found = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status in _LATER:
        found["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return found


def _header(description: str, schema: Schema | None = None) -> Schema:
    return {"description": description, "required": True, "schema": schema or {"type": "string"}}
