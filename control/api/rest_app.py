"""The Quart-Trio application: every endpoint behind the pipeline, every error in one form.

It is served by `protocols.http`, which bounds requests before Quart sees them and keeps one
connection's fault from the others (decision 15).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Struct
from quart import Response, g, request
from quart.routing import QuartRule
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from actors import World
from control.api import (
    agents,
    audit,
    channels,
    compliance,
    enrolment,
    federation,
    invitations,
    people,
    policies,
    replays,
    retention,
    second_factors,
    sessions,
    usage,
)
from control.api.endpoint import (
    NO_CONTENT,
    SEE_OTHER,
    Endpoint,
    EndpointCall,
    EndpointGroup,
    FileResponse,
)
from control.api.html_page import HEADERS, HtmlPage
from control.api.openapi import PREFIX, encode_document
from control.api.request_context import RequestContext, apply_extras, request_context
from control.api.request_decoding import MAX_BODY, bearer_credential, decode_request, is_valid_path
from control.api.services import RestServices
from control.errors import (
    AuthenticationError,
    ControlError,
    InternalError,
    NotFoundError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
    ValidationError,
)
from control.model.operation import Operation
from control.model.people import Caller
from protocols.errors import MediaTypeError
from protocols.http.asgi import RESERVATION
from protocols.http.response_budget import Reservation
from protocols.instant import SECOND, rfc3339
from protocols.openapi import JSON, ApiDocument, ErrorBody

RETRY_AFTER: Final = "5"  # seconds; longer than a database takes to come back from a restart

S = TypeVar("S")
_Pick = Callable[[RestServices], object]

api: Final = EndpointGroup[RestServices]("api", "This document.")


@api.route("GET", "openapi.json", "This document", public=True, returns=ApiDocument)
async def openapi(call: EndpointCall[RestServices]) -> msgspec.Raw:  # noqa: ARG001
    return msgspec.Raw(_DOCUMENT)


def _over(
    pick: Callable[[RestServices], S], *groups: EndpointGroup[S]
) -> list[tuple[EndpointGroup[Any], _Pick]]:
    """These resources, and which services they are given."""
    return [(group, pick) for group in groups]


_BOUND: Final = (
    *_over(lambda rest: rest.people, sessions.sessions, second_factors.factors),
    *_over(lambda rest: rest.federation, federation.federation),
    *_over(lambda rest: rest.invitations, invitations.invitations),
    *_over(
        lambda rest: rest.people,
        people.organizations,
        people.members,
        people.users,
        people.tokens,
    ),
    *_over(lambda rest: rest.agents, agents.agents, agents.metrics, agents.alerts),
    *_over(lambda rest: rest.notifications, channels.channels, channels.deliveries),
    *_over(lambda rest: rest.usage, usage.usage, usage.capacity),
    *_over(lambda rest: rest.audit, audit.audit),
    *_over(
        lambda rest: rest.compliance,
        compliance.frameworks,
        compliance.reports,
        compliance.schedules,
        compliance.notes,
        retention.retention,
        retention.holds,
    ),
    *_over(lambda rest: rest.enrolment, enrolment.tokens, enrolment.joins),
    *_over(lambda rest: rest.policies, policies.policies, policies.rollouts, replays.replays),
    *_over(lambda rest: rest, api),
)
RESOURCES: Final[Sequence[EndpointGroup[Any]]] = [group for group, _ in _BOUND]
MAX_UNKNOWN_BODY: Final = 16 << 10
"""Bytes of a JSON body that is decoded before the caller is authenticated."""
_DOCUMENT: Final = encode_document(RESOURCES)
_encode: Final = msgspec.json.Encoder().encode


class _Rule(QuartRule):
    """One that is only matched: to compile what makes URLs of it is half of a start."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002
        def build(*_: object, **__: object) -> tuple[str, str]:
            raise RuntimeError("no URL is made of a rule")

        return build


def build_rest_app(services: RestServices) -> QuartTrio:
    """The application over these services."""
    app = QuartTrio("freehold", static_folder=None)
    app.url_rule_class = _Rule
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    for group, pick in _BOUND:
        for endpoint in group.all:
            app.add_url_rule(
                PREFIX + endpoint.template.replace("{", "<").replace("}", ">"),
                endpoint=endpoint.name,
                view_func=partial(_handle_request, services, pick(services), endpoint),
                methods=[endpoint.method],
                provide_automatic_options=False,
            )
    app.before_request(partial(_assign_request_id, services.world))
    app.after_request(_finish_response)
    app.register_error_handler(HTTPException, partial(_http_error, services.world))
    app.register_error_handler(ControlError, partial(_error_response, services.world))
    return app


async def _assign_request_id(world: World) -> None:
    g.request_id = world.new_id()


async def _finish_response(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"  # whatever it holds, it is not a page
    return response


async def _handle_request(
    rest: RestServices, services: object, endpoint: Endpoint, **values: str
) -> Response:
    """Decode, run through the pipeline, encode.

    A malformed request gets its error after authentication and authorization.
    """
    arguments: dict[str, Struct] = {}
    visited = request_context(rest.public_url)
    malformed: ControlError | None = None
    try:
        body = cast("bytes", await request.get_data(as_text=False))
        if len(body) > MAX_UNKNOWN_BODY and endpoint.media_type == JSON:
            await _require_known_caller(rest, endpoint, values, visited)
        arguments = decode_request(endpoint, body, request.query_string, request.content_type or "")
    except ValidationError as error:
        malformed = _to_control_error(error)
    except AuthenticationError as error:
        malformed = error
    if not is_valid_path(values):
        malformed = NotFoundError("not_found", "nothing has this name")

    async def handle(caller: Caller) -> object:
        if malformed is not None:
            raise malformed
        if "org" in values and caller.org != values["org"]:
            await rest.people.users.get_organization(
                values["org"]
            )  # a super-admin may name what is not
        if not (endpoint.mutates or endpoint.public):
            await _reserve_memory(endpoint.memory)
        call = EndpointCall(services, rest.world, caller, g.request_id, visited, op.resolved)
        return await endpoint.answer(call, *values.values(), **arguments)

    if malformed is not None and endpoint.public:
        raise malformed
    changes = endpoint.mutates and malformed is None
    op = _operation(endpoint, values, arguments, visited, mutates=changes)
    try:
        result = await rest.pipeline.run(op, handle)
    except ControlError:
        if endpoint.status != SEE_OTHER:
            raise
        result = None  # a browser came by itself: the page that it is sent to tells the code
    return apply_extras(_response(endpoint, result), visited.reply, visited.own_origin)


async def _require_known_caller(
    rest: RestServices, endpoint: Endpoint, values: dict[str, str], visited: RequestContext
) -> None:
    """Refuse a large body of an unknown caller before it is decoded.

    Raises `TooLargeError` where no credential is needed, else `AuthenticationError`.
    """
    if endpoint.public:
        raise TooLargeError(
            "body_too_large", f"a body without credentials has at most {MAX_UNKNOWN_BODY} bytes"
        )
    op = _operation(endpoint, values, {}, visited, mutates=False)
    if not await rest.pipeline.knows_caller(op):
        raise AuthenticationError("unauthenticated", "sign in first")


async def _reserve_memory(size: int) -> None:
    """Wait until an answer of this size may be made. Raises `UnavailableError`."""
    reservation: Reservation | None = cast("Any", request).scope.get(RESERVATION)
    if reservation is not None and not await reservation.take(size):
        raise UnavailableError(
            "answers_full", "too many answers wait for slow clients: try again later"
        )


def _response(endpoint: Endpoint, result: object) -> Response:
    if isinstance(result, HtmlPage):
        response = Response(result.markup, endpoint.status, content_type="text/html; charset=utf-8")
        response.headers.update(HEADERS)
        return response
    if isinstance(result, FileResponse):
        response = Response(result.body, endpoint.status, content_type=result.media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{result.filename}"'
        if result.next_link:
            response.headers["Link"] = f'<{result.next_link}>; rel="next"'
        return response
    empty = endpoint.status in (NO_CONTENT, SEE_OTHER)
    body = b"" if empty else _encode(result)
    return Response(body, endpoint.status, mimetype=None if empty else JSON)


def _operation(
    endpoint: Endpoint,
    values: dict[str, str],
    arguments: dict[str, Struct],
    visited: RequestContext,
    *,
    mutates: bool,
) -> Operation:
    body = arguments.get("body")
    detail = msgspec.to_builtins(body) if body is not None and mutates else {}
    org = values.get("org", "")
    if endpoint.public and isinstance(body, sessions.Login):
        org = body.organization
    return Operation(
        name=endpoint.name,
        request_id=g.request_id,
        credential=bearer_credential(request.headers.get("Authorization", "")),
        origin=visited.origin,
        browser=visited.browser,
        guarded=endpoint.mutates,
        requires_recent_auth=endpoint.requires_recent_auth,
        allows_api_tokens=endpoint.allows_api_tokens,
        org=org,
        role=endpoint.role,
        any_authenticated=endpoint.any_authenticated,
        public=endpoint.public,
        target="/".join(value for name, value in values.items() if name != "org"),
        mutates=mutates,
        hashes_password=endpoint.hashes_password,
        detail={k: v for k, v in detail.items() if k not in endpoint.unrecorded},
    )


def _to_control_error(error: ValidationError) -> ControlError:
    if error.code == "media_type":
        return MediaTypeError(error.code, error.message)
    return error


async def _http_error(world: World, error: HTTPException) -> Response:
    """An error of Quart itself, in the form of the API. The caller is not known yet."""
    status = error.code or 500
    told: ControlError = InternalError("internal", "internal error")
    if status == 413:  # noqa: PLR2004
        told = TooLargeError("body_too_large", f"a body has at most {MAX_BODY} bytes")
    elif isinstance(error, MethodNotAllowed):
        told = ValidationError("method_not_allowed", "this path has other methods")
    elif status < 500:  # noqa: PLR2004
        told = NotFoundError("not_found", "there is no such path")
    response = await _error_response(world, told)
    if isinstance(error, MethodNotAllowed):
        response.status_code = 405
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


async def _error_response(world: World, error: ControlError) -> Response:
    body = ErrorBody(
        type=error.type,
        code=error.code,
        message=error.message,
        request_id=g.get("request_id", ""),
        timestamp=rfc3339(world.now() // SECOND * SECOND),
        details=dict(error.details),
    )
    response = Response(_encode(body), error.status, mimetype=JSON)
    if isinstance(error, AuthenticationError):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnavailableError):
        response.headers["Retry-After"] = RETRY_AFTER
    if isinstance(error, RateLimitError):
        response.headers["Retry-After"] = str(error.details.get("retry_after", RETRY_AFTER))
    return response
