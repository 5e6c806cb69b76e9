"""An OpenAPI 3.1 document, made from the declarations that decode the requests."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.errors import ErrorType

JSON: Final = "application/json"
NO_CONTENT: Final = 204
SEE_OTHER: Final = 303
_EMPTY: Final = (NO_CONTENT, SEE_OTHER)
PARTLY: Final = "Done in part: the answer tells of each"
_SEGMENT: Final = {"type": "string", "minLength": 1}
_ALWAYS: Final = (400, 413, 500)
_WITH_CREDENTIAL: Final = (401, 403, 429, 503)
_LATER: Final = (429, 503)  # those that say when to try again

Schema = dict[str, Any]


class EndpointDescription(Protocol):
    """What has to be known of an endpoint. `query`, `body`: a struct without fields if none."""

    @property
    def method(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def answer(self) -> Callable[..., Any]: ...
    @property
    def body(self) -> Any: ...
    @property
    def schema(self) -> Any: ...
    @property
    def media_type(self) -> str: ...
    @property
    def documents(self) -> tuple[str, ...]: ...
    @property
    def query(self) -> type[Struct]: ...
    @property
    def returns(self) -> Any: ...
    @property
    def status(self) -> int: ...
    @property
    def also(self) -> tuple[int, ...]: ...
    @property
    def public(self) -> bool: ...
    @property
    def errors(self) -> tuple[int, ...]: ...
    @property
    def needs_body(self) -> bool: ...


class ResourceDescription(Protocol):
    """Endpoints that belong together."""

    @property
    def tag(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def all(self) -> Sequence[EndpointDescription]: ...


@dataclass(frozen=True, kw_only=True)
class ApiInfo:
    """What is said of the whole API. `errors`: status to description, `segments`: of paths."""

    title: str
    description: str
    version: str
    prefix: str
    credential: str
    errors: Mapping[int, str]
    segments: Mapping[str, Schema] = field(default_factory=dict)


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The design's APIError: `code` is stable and for programs, `message` is for people."""

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


def build_document(
    resources: Iterable[ResourceDescription],
    about: ApiInfo,
    more: Callable[[Any], Schema] = lambda _: {},
) -> Schema:
    """The document, as plain data. `more`: what else an operation says of its endpoint."""
    resources = list(resources)
    endpoints = [endpoint for resource in resources for endpoint in resource.all]
    schemas = _Schemas(endpoints)
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        path = paths.setdefault(about.prefix + endpoint.template, {})
        path[endpoint.method.lower()] = _operation(endpoint, schemas, about) | more(endpoint)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "tags": [{"name": r.tag, "description": r.about} for r in resources],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                f"Error{status}": _error(status, text, schemas)
                for status, text in about.errors.items()
            },
            "headers": {
                "RequestId": _header("The request's id, as in the log and the audit log"),
                "RetryAfter": _header("Seconds to wait", {"type": "string", "pattern": "^[0-9]+$"}),
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": about.credential,
                }
            },
        },
    }
    plain: Schema = json_text.decode(msgspec.json.encode(whole))  # defaults are tuples, structs
    return plain


class _Schemas:
    """The schema of every type that the endpoints name."""

    def __init__(self, endpoints: Iterable[EndpointDescription]) -> None:
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


def _types(endpoint: EndpointDescription) -> Iterator[Any]:
    yield endpoint.schema or endpoint.body
    yield endpoint.query
    if endpoint.returns is not None:
        yield endpoint.returns


def _operation(endpoint: EndpointDescription, schemas: _Schemas, about: ApiInfo) -> Schema:
    operation: Schema = {
        "operationId": f"{endpoint.tag}_{endpoint.answer.__name__.rstrip('_')}",
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint, about), *_query_parameters(endpoint, schemas)],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.public:
        operation["security"] = []
    if not _is_empty(endpoint.body):
        schema = schemas.of(endpoint.schema or endpoint.body)
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {endpoint.media_type: {"schema": schema}},
        }
    return operation


def _path_parameters(endpoint: EndpointDescription, about: ApiInfo) -> Iterator[Schema]:
    for part in endpoint.template.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "schema": about.segments.get(name, _SEGMENT),
            }


def _query_parameters(endpoint: EndpointDescription, schemas: _Schemas) -> Iterator[Schema]:
    properties, required = schemas.fields(endpoint.query)
    for name, schema in properties.items():
        yield {"name": name, "in": "query", "required": name in required, "schema": schema}


def _responses(endpoint: EndpointDescription, schemas: _Schemas) -> Schema:
    done = {str(endpoint.status): _success(endpoint.status, "Done", endpoint, schemas)}
    done |= {str(also): _success(also, PARTLY, endpoint, schemas) for also in endpoint.also}
    statuses = {*_ALWAYS, *endpoint.errors}
    statuses.update(() if endpoint.public else _WITH_CREDENTIAL)
    statuses.update((404,) if "{" in endpoint.template else ())
    refused = {str(s): {"$ref": f"#/components/responses/Error{s}"} for s in sorted(statuses)}
    return {**done, **refused}


def _success(status: int, text: str, endpoint: EndpointDescription, schemas: _Schemas) -> Schema:
    success: Schema = {"description": text, "headers": _headers(status)}
    if status not in _EMPTY:
        text_: Schema = {"schema": {"type": "string"}}
        success["content"] = dict.fromkeys(endpoint.documents, text_)
        if endpoint.returns is not None or not endpoint.documents:
            success["content"][JSON] = {"schema": schemas.of(endpoint.returns)}
    return success


def _error(status: int, text: str, schemas: _Schemas) -> Schema:
    return {
        "description": text,
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


def _is_empty(shape: Any) -> bool:
    """Whether it is a struct without fields: nothing is asked for."""
    return isinstance(shape, type) and issubclass(shape, Struct) and not shape.__struct_fields__
