"""An endpoint of the native API: its types say how it is decoded, encoded and documented.

The OpenAPI document is made from the same declaration that decodes the request, so the two cannot
drift apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.edge.dialect import Dialect, convert
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.edge.router import Answer, Router

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What is declared of one endpoint; `operation` is the operation it runs, for the audit docs.

    `body`/`query`/`returns` are msgspec structs. `status` is that of success.
    """

    method: str
    template: str
    summary: str
    answer: Answer
    body: type[Struct] | None = None
    media_type: str = "application/json"
    query: type[Struct] | None = None
    returns: Any = None
    status: int = 200
    public: bool = False
    tag: str = ""


class Endpoints:
    """The endpoints of one resource; `install` puts them into a router."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Endpoint] = []

    def add(
        self, method: str, template: str, summary: str, **declared: Any
    ) -> Callable[[Answer], Answer]:
        """Decorate an endpoint's function: `(dialect, request, *path values, **decoded)`.

        It gets `body=` and `query=` when these are declared, and returns what `returns` says.
        """

        def register(answer: Answer) -> Answer:
            self.all.append(
                Endpoint(
                    method=method,
                    template=template,
                    summary=summary,
                    answer=answer,
                    tag=self.tag,
                    **declared,
                )
            )
            return answer

        return register


def install(router: Router, endpoints: list[Endpoint]) -> None:
    """Put endpoints into a router, each behind its decoding and encoding."""
    for endpoint in endpoints:
        router.add(endpoint.method, template=endpoint.template, public=endpoint.public)(
            _answering(endpoint)
        )


def _answering(endpoint: Endpoint) -> Answer:
    async def answer(dialect: Dialect, request: Request, *values: str) -> Reply:
        decoded: dict[str, object] = {}
        if endpoint.query is not None:
            decoded["query"] = convert(request.query, endpoint.query)
        if endpoint.body is not None:
            if endpoint.media_type == MERGE_PATCH:
                request.need_media_type(MERGE_PATCH)
            decoded["body"] = request.json(endpoint.body)
        result = await endpoint.answer(dialect, request, *values, **decoded)
        if isinstance(result, Reply):
            return result
        if endpoint.status == NO_CONTENT:
            return Reply(NO_CONTENT)
        return Reply(endpoint.status, _encode(result))

    return answer
