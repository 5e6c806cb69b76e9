"""`/api/v1/wrapping`: answers that wait behind a token, and what is behind one.

Any request with `X-Freehold-Wrap-TTL: 5m` is carried out, and is answered with a token instead.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from protocols import json_text
from protocols.instant import SECOND, rfc3339
from vault import operations
from vault.authn.cubbyhole import WrappedAnswer
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, encode_reply
from vault.edge.reply import JSON, Reply
from vault.edge.request import Request
from vault.edge.wrapping import (
    KeptAnswer,
    parse_wrap_ttl,
    unwrap_answer,
    wrap_answer,
    wrapping_path,
)
from vault.errors import ValidationError
from vault.model.payloads import TokenSelector, UnwrapAnswer

wrapping = Endpoints("wrapping", "Answers that wait behind a token, for one reader and once.")

HEADER: Final = "X-Freehold-Wrap-TTL"
_HEADER: Final = HEADER.lower().encode()
_SUCCESS: Final = frozenset({200, 201})


class WrappedBody(Struct, frozen=True, kw_only=True):
    """What stands for an answer. `path`: of the request that was answered.

    `wrapped_accessor`: of the token that the answer brings; empty: it brings none.
    """

    token: str
    accessor: str
    ttl_seconds: int
    created_at: str
    path: str
    wrapped_accessor: str = ""

    @classmethod
    def of(cls, made: WrappedAnswer) -> "WrappedBody":
        """As it was made; without its text where that is not known."""
        return cls(
            token=made.text,
            accessor=made.accessor,
            ttl_seconds=made.ttl // SECOND,
            created_at=rfc3339(made.created_at),
            path=made.creation_path,
            wrapped_accessor=made.wrapped_accessor,
        )


class Wrap(Struct, frozen=True):
    """A wrapped answer: it stands in place of the answer itself."""

    wrap: WrappedBody


class Unwrap(Struct, frozen=True, forbid_unknown_fields=True):
    """`token`: of the wrapped answer; empty: it is the caller's own credential."""

    token: str = ""


class WrappingToken(Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a wrapped answer."""

    token: str


class _Credential(Struct, frozen=True):
    token: str = ""
    accessor: str = ""


def requested_ttl(request: Request) -> int:
    """How long (ns) the answer is to wait; 0: it is not to be wrapped. Raises `ValidationError`."""
    return parse_wrap_ttl(request.header(_HEADER), HEADER)


async def wrapped_reply(
    dialect: Dialect, request: Request, reply: Reply, *, only_tokens: bool
) -> Reply:
    """The answer behind a token; one that holds nothing, or an error, is told as it is.

    `only_tokens`: so is one that brings no token. Raises as `wrap_answer`, and `ValidationError`
    for what comes in pieces or is no JSON.
    """
    if reply.status not in _SUCCESS:
        return reply
    if reply.stream is not None or reply.content_type != JSON:
        raise ValidationError("wrap_unsupported", "this answer is no JSON, and cannot be wrapped")
    brought = _Credential()
    if reply.body.startswith(b"{"):
        brought = json_text.decode(reply.body, type=_Credential)
    if not reply.body or (only_tokens and not brought.token):
        return reply
    answer = KeptAnswer(data=Raw(reply.body), native=True)
    accessor = brought.accessor if brought.token else ""
    made = await wrap_answer(dialect, request, answer, accessor)
    return encode_reply(Wrap(WrappedBody.of(made)), reply.status)


@wrapping.add(
    "POST",
    "wrapping/unwrap",
    "The answer behind a token; there is no second time",
    body=Unwrap,
    returns=dict,
)
async def unwrap(dialect: Dialect, request: Request, *, body: Unwrap) -> Reply:
    found = await unwrap_answer(dialect, request, body.token)
    answer = json_text.decode(found.content, type=KeptAnswer)
    content = bytes(answer.data) if answer.native else msgspec.json.encode(answer)
    return Reply(200, content)


@wrapping.add(
    "POST",
    "wrapping/rewrap",
    "Another token for the same answer",
    body=WrappingToken,
    returns=Wrap,
)
async def rewrap(dialect: Dialect, request: Request, *, body: WrappingToken) -> Wrap:
    made = await dialect.run_operation(
        request, operations.REWRAP, wrapping_path("rewrap"), UnwrapAnswer(token=body.token)
    )
    return Wrap(WrappedBody.of(made))


@wrapping.add(
    "POST",
    "wrapping/lookup",
    "What a token stands for, without its use",
    body=WrappingToken,
    returns=Wrap,
    public=True,
)
async def look_up(dialect: Dialect, request: Request, *, body: WrappingToken) -> Wrap:
    found = await dialect.run_operation(
        request,
        operations.LOOK_UP_WRAPPING,
        wrapping_path("lookup"),
        TokenSelector(token=body.token),
    )
    return Wrap(WrappedBody.of(found))
