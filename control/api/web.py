"""The Quart-Trio application: every endpoint behind the pipeline, every error as the seed's.

It is served by `protocols.http`, which bounds requests before Quart sees them and keeps one
connection's fault from the others (`docs/decisions/0013-control-plane.md`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, cast

import msgspec
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from control.api import (
    channels,
    compliance,
    enrolment,
    factors,
    federation,
    fleet,
    invitations,
    keeping,
    people,
    policies,
    replays,
    sessions,
    trail,
    usage,
)
from control.api.endpoint import NO_CONTENT, SEE_OTHER, Call, Document, Endpoint, Endpoints
from control.api.openapi import PREFIX, encoded
from control.api.page import HEADERS, Page
from control.api.plane import Plane
from control.api.request import MAX_BODY, credential, decoded, path_is_fine
from control.api.visit import Visit, dress, visit
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
from protocols.http.answers import Reservation
from protocols.http.scope import RESERVATION
from protocols.instant import SECOND, rfc3339
from protocols.openapi import JSON, ApiDocument, ErrorBody

RETRY_AFTER: Final = "5"  # seconds; longer than a database takes to come back from a restart

api: Final = Endpoints("api", "This document.")


@api.add("GET", "openapi.json", "This document", public=True, returns=ApiDocument)
async def openapi(call: Call) -> msgspec.Raw:  # noqa: ARG001
    return msgspec.Raw(_DOCUMENT)


RESOURCES: Final[Sequence[Endpoints]] = (
    sessions.sessions,
    factors.factors,
    federation.federation,
    invitations.invitations,
    people.organizations,
    people.members,
    people.users,
    people.tokens,
    fleet.agents,
    fleet.metrics,
    fleet.alerts,
    channels.channels,
    channels.deliveries,
    usage.usage,
    usage.capacity,
    trail.audit,
    compliance.frameworks,
    compliance.reports,
    compliance.schedules,
    compliance.notes,
    keeping.retention,
    keeping.holds,
    enrolment.tokens,
    enrolment.joins,
    policies.policies,
    policies.rollouts,
    replays.replays,
    api,
)
MAX_UNKNOWN_BODY: Final = 16 << 10
"""Bytes of a JSON body that is decoded before the caller is authenticated."""
_DOCUMENT: Final = encoded(RESOURCES)
_encode: Final = msgspec.json.Encoder().encode


def build(plane: Plane) -> QuartTrio:
    """The application over these services."""
    app = QuartTrio("freehold", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    for endpoint in (endpoint for resource in RESOURCES for endpoint in resource.all):
        app.add_url_rule(
            PREFIX + endpoint.template.replace("{", "<").replace("}", ">"),
            endpoint=endpoint.name,
            view_func=partial(_answer, plane, endpoint),
            methods=[endpoint.method],
            provide_automatic_options=False,
        )
    app.before_request(partial(_identify, plane))
    app.after_request(_finish)
    app.register_error_handler(HTTPException, partial(_http_error, plane))
    app.register_error_handler(ControlError, partial(_error, plane))
    return app


async def _identify(plane: Plane) -> None:
    g.request_id = plane.world.new_id()


async def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"  # whatever it holds, it is not a page
    return response


async def _answer(plane: Plane, endpoint: Endpoint, **values: str) -> Response:
    """Decode, go through the pipeline, encode. What is malformed is told after who may ask."""
    arguments: dict[str, Any] = {}
    visited = visit(plane.public_url)
    malformed: ControlError | None = None
    try:
        body = cast("bytes", await request.get_data(as_text=False))
        if len(body) > MAX_UNKNOWN_BODY and endpoint.media_type == JSON:
            await _need_known(plane, endpoint, values, visited)
        arguments = decoded(endpoint, body, request.query_string, request.content_type or "")
    except ValidationError as error:
        malformed = _typed(error)
    except AuthenticationError as error:
        malformed = error
    if not path_is_fine(values):
        malformed = NotFoundError("not_found", "there is nothing of this name")

    async def handle(caller: Caller) -> Any:
        if malformed is not None:
            raise malformed
        if "org" in values and caller.org != values["org"]:
            await plane.users.organization(values["org"])  # a super-admin may name what is not
        if not (endpoint.mutates or endpoint.public):
            await _reserve(endpoint.memory)
        call = Call(plane, caller, g.request_id, visited, op.found)
        return await endpoint.answer(call, *values.values(), **arguments)

    if malformed is not None and endpoint.public:
        raise malformed
    changes = endpoint.mutates and malformed is None
    op = _operation(endpoint, values, arguments, visited, mutates=changes)
    try:
        result = await plane.pipeline.run(op, handle)
    except ControlError:
        if endpoint.status != SEE_OTHER:
            raise
        result = None  # a browser came by itself: the page that it is sent to tells the code
    return dress(_response(endpoint, result), visited.reply, visited.own)


async def _need_known(
    plane: Plane, endpoint: Endpoint, values: dict[str, str], visited: Visit
) -> None:
    """Refuse a large body of a caller who is not known, before it is decoded.

    Raises `TooLargeError` where no credential is needed, else `AuthenticationError`.
    """
    if endpoint.public:
        raise TooLargeError(
            "body_too_large", f"a body has at most {MAX_UNKNOWN_BODY} bytes where nobody signs in"
        )
    op = _operation(endpoint, values, {}, visited, mutates=False)
    if not await plane.pipeline.knows(op):
        raise AuthenticationError("unauthenticated", "sign in first")


async def _reserve(size: int) -> None:
    """Wait until an answer of so many bytes may be made. Raises `UnavailableError`."""
    reservation: Reservation | None = cast("Any", request).scope.get(RESERVATION)
    if reservation is not None and not await reservation.take(size):
        raise UnavailableError(
            "answers_full", "too many answers wait for their readers; wait and try again"
        )


def _response(endpoint: Endpoint, result: Any) -> Response:
    if isinstance(result, Page):
        response = Response(result.markup, endpoint.status, content_type="text/html; charset=utf-8")
        response.headers.update(HEADERS)
        return response
    if isinstance(result, Document):
        response = Response(result.body, endpoint.status, content_type=result.media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{result.filename}"'
        if result.onward:
            response.headers["Link"] = f'<{result.onward}>; rel="next"'
        return response
    empty = endpoint.status in (NO_CONTENT, SEE_OTHER)
    body = b"" if empty else _encode(result)
    return Response(body, endpoint.status, mimetype=None if empty else JSON)


def _operation(
    endpoint: Endpoint,
    values: dict[str, str],
    arguments: dict[str, Any],
    visited: Visit,
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
        credential=credential(request.headers.get("Authorization", "")),
        origin=visited.origin,
        browser=visited.browser,
        guarded=endpoint.mutates,
        fresh=endpoint.fresh,
        programs=endpoint.programs,
        org=org,
        role=endpoint.role,
        anyone=endpoint.anyone,
        public=endpoint.public,
        target="/".join(value for name, value in values.items() if name != "org"),
        mutates=mutates,
        hashes=endpoint.hashes,
        detail={k: v for k, v in detail.items() if k not in endpoint.unrecorded},
    )


def _typed(error: ValidationError) -> ControlError:
    if error.code == "media_type":
        return MediaTypeError(error.code, error.message)
    return error


async def _http_error(plane: Plane, error: HTTPException) -> Response:
    """What Quart itself refuses, in our form. It knows only the path: who asks is not yet known."""
    status = error.code or 500
    told: ControlError = InternalError("internal", "internal error")
    if status == 413:  # noqa: PLR2004
        told = TooLargeError("body_too_large", f"a body has at most {MAX_BODY} bytes")
    elif isinstance(error, MethodNotAllowed):
        told = ValidationError("method_not_allowed", "this path has other methods")
    elif status < 500:  # noqa: PLR2004
        told = NotFoundError("not_found", "there is no such path")
    response = await _error(plane, told)
    if isinstance(error, MethodNotAllowed):
        response.status_code = 405
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


async def _error(plane: Plane, error: ControlError) -> Response:
    body = ErrorBody(
        type=error.type,
        code=error.code,
        message=error.message,
        request_id=g.get("request_id", ""),
        timestamp=rfc3339(plane.world.now() // SECOND * SECOND),
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
