"""An endpoint of the native API: its types say how it is decoded, encoded and documented.

The OpenAPI document is made from the same declaration that decodes the request, so the two cannot
drift apart.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.edge.dialect import Dialect, convert_fields
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.edge.router import Answer, Router
from vault.errors import ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import NoParameters

encode: Final = msgspec.json.Encoder(enc_hook=str).encode
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What is declared of one endpoint.

    `body` and `query` are the types that the request is decoded to, `schema` is how a body is
    documented where that says more than the type; `returns` is what the answer looks like, `status`
    its status, `also` are others that it may have; `errors` are the statuses of refusals that may
    come beside those that every endpoint has.
    """

    method: str
    template: str
    summary: str
    answer: Answer
    tag: str
    body: Any = NoParameters
    schema: Any = None
    media_type: str = JSON
    documents: tuple[str, ...] = ()
    query: type[Struct] = NoParameters
    returns: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    public: bool = False
    errors: tuple[int, ...] = ()

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is refused: what it asks for would not be clear."""
        if not (isinstance(self.body, type) and issubclass(self.body, Struct)):
            return True
        return any(field.required for field in msgspec.structs.fields(self.body))


class Endpoints:
    """The endpoints of one resource."""

    def __init__(self, tag: str, about: str) -> None:
        self.tag = tag
        self.about = about
        self.all: list[Endpoint] = []

    def add(
        self, method: str, template: str, summary: str, **declared: Any
    ) -> Callable[[Answer], Answer]:
        """Decorate an endpoint's function: `(dialect, request, *path values, **decoded)`.

        It gets `body=` and `query=` when these are declared, and returns what `returns` says.
        """

        def register(answer: Answer) -> Answer:
            endpoint = Endpoint(
                method=method,
                template=template,
                summary=summary,
                answer=answer,
                tag=self.tag,
                **declared,
            )
            self.all.append(endpoint)
            return answer

        return register


def build_router(resources: Iterable[Endpoints]) -> Router:
    """A router with every endpoint behind its decoding and encoding."""
    router = Router()
    for endpoint in (endpoint for resource in resources for endpoint in resource.all):
        router.add(endpoint.method, template=endpoint.template, public=endpoint.public)(
            _answer_for(endpoint)
        )
    return router


def system_path(resource: str, name: str = "") -> ResourcePath:
    """Where `resource` lies in the path space of policies, or the one thing of this name in it."""
    return ResourcePath.parse(f"sys/{resource}/{name}" if name else f"sys/{resource}")


def system_folder(resource: str) -> ResourcePath:
    """The folder of all things of this resource: what listing and creating ask for."""
    return ResourcePath.parse_folder(f"sys/{resource}")


def _answer_for(endpoint: Endpoint) -> Answer:
    async def answer(dialect: Dialect, request: Request, *values: str) -> Reply:
        decoded = _decode_arguments(endpoint, request)
        result = await endpoint.answer(dialect, request, *values, **decoded)
        if isinstance(result, Reply):
            return result
        if endpoint.status == NO_CONTENT:
            return Reply(NO_CONTENT)
        return encode_reply(result, endpoint.status)

    return answer


def encode_reply(result: object, status: int) -> Reply:
    """What an endpoint returns, on its way to the wire."""
    return Reply(status, encode(result))


def _decode_arguments(endpoint: Endpoint, request: Request) -> dict[str, object]:
    """The keyword arguments of the endpoint's function. Raises `ValidationError`."""
    if endpoint.media_type != JSON:
        request.require_media_type(endpoint.media_type)
    if endpoint.needs_body and not request.body:
        raise ValidationError("body_missing", "this request needs a body")
    query, body = convert_fields(request.query, endpoint.query), request.decode_json(endpoint.body)
    decoded: dict[str, object] = {}
    if endpoint.query is not NoParameters:
        decoded["query"] = query
    if endpoint.body is not NoParameters:
        decoded["body"] = body
    return decoded
