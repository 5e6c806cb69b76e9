"""Response wrapping: an answer waits behind a token that is good for it alone, and once."""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, to_builtins

from protocols import json_text
from protocols.instant import SECOND, parse_duration, rfc3339
from vault import operations
from vault.authn.cubbyhole import WrappedAnswer
from vault.authn.token_lifetime import MAX_TTL
from vault.edge.compat.envelope import data_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import JSON, Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import AuthenticationError, UnavailableError, ValidationError, VaultError
from vault.model.operation import service_operation
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, TokenSelector, UnwrapAnswer, WrapAnswer

routes: Final = Router()

SERVICE: Final = "wrapping"
OK: Final = 200
WRAP_PATH: Final = "sys/wrapping/wrap"
_TTL_HEADER: Final = b"x-vault-wrap-ttl"
_FORMAT_HEADER: Final = b"x-vault-wrap-format"


class WrapInfo(Struct, frozen=True, kw_only=True):
    """The `wrap_info` of an answer. `ttl` in seconds."""

    token: str
    accessor: str
    ttl: int
    creation_time: str
    creation_path: str
    wrapped_accessor: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, made: WrappedAnswer) -> "WrapInfo":
        """As clients read it."""
        return cls(
            token=made.text,
            accessor=made.accessor,
            ttl=made.ttl // SECOND,
            creation_time=rfc3339(made.created_at),
            creation_path=made.creation_path,
            wrapped_accessor=made.wrapped_accessor or msgspec.UNSET,
        )


class _Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an envelope is kept; the rest is of the request that unwraps it."""

    lease_id: str = ""
    renewable: bool = False
    lease_duration: int = 0
    data: Raw = Raw(b"null")
    warnings: list[str] | None = None
    auth: Raw = Raw(b"null")


class _Auth(Struct, frozen=True):
    accessor: str = ""
    mfa_requirement: Raw = Raw(b"null")


_NULL: Final = Raw(b"null")


def requested_ttl(request: Request) -> int:
    """How long (ns) the answer is to wait; 0: it is not to be wrapped.

    Raises `ValidationError` for what is no duration.
    """
    text = request.header(_TTL_HEADER)
    if not text:
        return 0
    try:
        ttl = parse_duration(text, "X-Vault-Wrap-TTL")
    except VaultError:
        raise ValidationError(
            "wrap_ttl_invalid",
            "error parsing X-Vault-Wrap-TTL header: time: invalid duration",
        ) from None
    if ttl < 0:
        raise ValidationError("wrap_ttl_invalid", "requested wrapping ttl is negative")
    if ttl > MAX_TTL:  # before anything is done: the answer could not be wrapped then
        raise ValidationError("wrap_ttl_invalid", "an answer can be wrapped for at most 768 hours")
    if ttl and request.header(_FORMAT_HEADER) not in {"", "uuid"}:
        raise ValidationError(
            "wrap_format_unsupported", "a wrapping token has one format: leave X-Vault-Wrap-Format"
        )
    return ttl


async def wrapped_reply(
    dialect: Dialect, request: Request, reply: Reply, *, only_tokens: bool = False
) -> Reply:
    """The answer behind a token; one that holds nothing is told as it is.

    `only_tokens`: so is one that brings no token. Of what anybody may ask, a login brings one.

    Raises as the operation, with the outcome `done` where the request has changed something.
    """
    if reply.status != OK or reply.content_type != JSON or not reply.body:
        return reply
    answer = json_text.decode(reply.body, type=_Answer)
    if answer.auth == _NULL and (only_tokens or answer.data == _NULL):
        return reply
    accessor = ""
    if answer.auth != _NULL:
        auth = json_text.decode(answer.auth, type=_Auth)
        if auth.mfa_requirement != _NULL:
            return reply  # a login that waits brings no token: who finishes it asks for wrapping
        accessor = auth.accessor
    payload = WrapAnswer(
        content=msgspec.json.encode(answer),
        ttl=request.wrap_ttl,
        creation_path=request.path.removeprefix(dialect.prefix),
        accessor=accessor,
    )
    operation = service_operation(
        operations.WRAP_ANSWER, WRAP_PATH, payload, service=SERVICE, request_id=request.id + "-wrap"
    )
    try:
        made = await dialect.service.run_operation(operation)
    except UnavailableError as error:
        # The request itself is done: whoever repeats it may have two of what it made.
        raise UnavailableError(error.code, error.message, outcome="done") from None
    return _wrap_info_reply(request, made)


@routes.add("POST", template=WRAP_PATH)
async def wrap(dialect: Dialect, request: Request) -> Reply:
    """The fields of the body, wrapped."""
    if not request.wrap_ttl:
        raise ValidationError("wrap_ttl_missing", "endpoint requires response wrapping to be used")
    Fields.from_body(request).values()  # each is well-formed
    fields = request.decode_json(dict[str, Raw])
    await dialect.run_operation(
        request, operations.WRAP_VALUE, ResourcePath.parse(WRAP_PATH), Nothing()
    )
    return data_reply(request, fields)


@routes.add("POST", template="sys/wrapping/unwrap")
async def unwrap(dialect: Dialect, request: Request) -> Reply:
    """The answer behind the token of the body, or behind the caller's own."""
    text, path = _token(request), _at("unwrap")
    if text and text != dialect.credential(request):  # not secret: both are what the caller sent
        found = await dialect.run_operation(
            request, operations.UNWRAP, path, UnwrapAnswer(token=text)
        )
    else:
        try:
            found = await dialect.run_operation(request, operations.UNWRAP_OWN, path, Nothing())
        except AuthenticationError:
            raise _not_valid() from None
    answer = json_text.decode(found.content, type=_Answer)
    more = {name: getattr(answer, name) for name in answer.__struct_fields__ if name != "data"}
    return data_reply(request, answer.data, **more)


@routes.add("POST", template="sys/wrapping/rewrap")
async def rewrap(dialect: Dialect, request: Request) -> Reply:
    """Another token for the answer behind the token of the body."""
    text = _token(request)
    if not text:
        raise _not_valid()
    made = await dialect.run_operation(
        request, operations.REWRAP, _at("rewrap"), UnwrapAnswer(token=text)
    )
    return _wrap_info_reply(request, made)


@routes.add("GET", "POST", template="sys/wrapping/lookup", public=True)
async def look_up(dialect: Dialect, request: Request) -> Reply:
    """What a wrapping token stands for, without its use."""
    text = _token(request) or dialect.credential(request)
    if not text:
        raise ValidationError("missing_token", 'missing "token" value in input', field="token")
    found = await dialect.run_operation(
        request, operations.LOOK_UP_WRAPPING, _at("lookup"), TokenSelector(token=text)
    )
    body: dict[str, Any] = {
        "creation_path": found.creation_path,
        "creation_time": rfc3339(found.created_at),
        "creation_ttl": found.ttl // SECOND,
    }
    return data_reply(request, body)


def _wrap_info_reply(request: Request, made: WrappedAnswer) -> Reply:
    """As OpenBao has it: a wrapped answer does not name its request."""
    reply = data_reply(request, None, wrap_info=to_builtins(WrapInfo.of(made)))
    body = json_text.decode(reply.body)
    return Reply(OK, msgspec.json.encode({**body, "request_id": ""}))


def _token(request: Request) -> str:
    return Fields.from_body(request).text("token")


def _not_valid() -> ValidationError:
    return ValidationError(
        "wrapping_token_invalid", "wrapping token is not valid or does not exist", field="token"
    )


def _at(name: str) -> ResourcePath:
    return ResourcePath.parse(f"sys/wrapping/{name}")
