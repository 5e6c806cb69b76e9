"""What every dialect does alike: read the request, find its route, run operations, tell errors."""

import logging
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors.pacer import Pacer
from actors.world import World
from protocols.instant import rfc3339
from vault import operations
from vault.edge.reply import Reply
from vault.edge.request import (
    COMMIT_HEADER,
    Receive,
    Request,
    begin_request,
    validation_message,
)
from vault.edge.router import Route, Router
from vault.edge.service import VaultService
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.acl.access import ApiAccess
from vault.model.operation import (
    InlineLogin,
    Operation,
    OperationType,
    Origin,
    P,
    R,
    ResponseBudget,
)
from vault.model.path import ResourcePath
from vault.model.payloads import MalformedRequest, RefusedRequest
from vault.pipeline import internal_error

T = TypeVar("T")

AS_OF_HEADER: Final = b"x-freehold-as-of"
RETRY_AFTER: Final = 1  # seconds, of a 503; clients wait it out, so it is short
NOTHING_DONE: Final = "none"  # an outcome; where an error has none, it is meant
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "LIST"})  # methods that change nothing
UNCLEAR_PATH: Final = "sys/request"  # where a request is recorded that has no route
UNMATCHED: Final = "unmatched"  # the endpoint label of everything that has no route
_NOT_SERVING: Final = frozenset({"sealed", "not_initialized"})
"""There is no log to record anything in, and the connection closes: whoever kept it, a load
balancer or a client that knows several agents, may come to one that serves."""

MAX_UNKNOWN_BODY: Final = 8 << 10
"""Bytes of a body that is decoded before the caller is authenticated: a few shares, or a small
secret. What needs no credential takes no larger one."""

log: Final = logging.getLogger("freehold.edge")


class Dialect:
    """A wire language. A subclass has a `router`, bounds bodies, and says how errors look."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    router: ClassVar[Router]
    max_body: ClassVar[int]
    is_public: ClassVar[bool] = False
    """If True, request errors are returned to anonymous callers. Otherwise only public routes do
    that; all others require a credential first."""

    def __init__(self, service: VaultService, world: World) -> None:
        self.service = service
        self.world = world
        self.pacer = Pacer(world.monotonic)
        """Of requests that are many operations, all of them together."""

    async def handle(self, scope: Any, receive: Receive) -> tuple[Reply, str]:
        """The reply to one request, and the template of its route.

        Every reply names the request (`X-Request-Id`), and a "not now" says when (`Retry-After`),
        unless it may be done already: whoever obeys would do it twice.
        """
        request_id, endpoint = self.world.new_request_id(), UNMATCHED
        request, route = begin_request(scope, request_id=request_id, dialect=self.name), None
        try:
            await request.read(scope, receive, max_body=self.max_body)
            path = request.path.removeprefix(self.prefix)
            if self.finds_in_mounts(path):
                await self.catch_up(request)
            route, values = self.find_route(request, path)
            endpoint = self.prefix + route.template
            if route.public and not route.cross_site:
                refuse_cross_site(request)
            if len(request.body) > (route.max_body or MAX_UNKNOWN_BODY):
                await self._need_known(request, route)
            await trio.lowlevel.checkpoint()  # see `EdgeApp.__call__`
            reply = await self.finish(request, route, await route.answer(self, request, *values))
        except VaultError as error:
            reply = self._counted_error_reply(
                await self.record_malformed(request, route, error), request_id
            )
        except Exception as error:  # noqa: BLE001  # logged without its text: a fault of ours
            fault = internal_error(request_id, endpoint, error)
            reply = self._counted_error_reply(
                await self.record_malformed(request, route, fault), request_id
            )
        else:
            if not (route.public or request.reached_pipeline):
                nothing = NotFoundError("no_operation", "this request asks for nothing")
                failure = await self.record_malformed(request, route, nothing)
                if failure is not nothing:
                    reply = self._counted_error_reply(failure, request_id)
        return _tell_state(reply.with_header(b"x-request-id", request_id), request), endpoint

    async def finish(self, request: Request, route: Route, reply: Reply) -> Reply:  # noqa: ARG002  # a dialect's own
        """The last word on an answer that is no error."""
        return reply

    async def _need_known(self, request: Request, route: Route) -> None:
        """Refuse a large body of a caller who is not known, before it is decoded.

        Raises `TooLargeError` where no credential is needed, else `AuthenticationError`.
        """
        if route.public:
            raise TooLargeError(
                "body_too_large",
                f"a body may have at most {route.max_body or MAX_UNKNOWN_BODY} bytes here",
            )
        if not await self.knows(request):
            raise AuthenticationError("unauthenticated", "permission denied")

    async def knows(self, request: Request) -> bool:
        """Whether the request's credential stands. The operation authenticates it again."""
        return await self.service.knows(self.credential(request), request.origin)

    async def record_malformed(
        self, request: Request, route: Route | None, error: VaultError
    ) -> VaultError:
        """Put on record that a request is no operation, under its route's template.

        Method, path and error are audited; the path is hashed. Anonymous safe requests to public
        routes are not audited. Returns the error for the caller: `error`, or one that comes before
        it, as that the caller is not known.
        """
        if request.reached_pipeline or isinstance(error, UnavailableError):
            return error
        path = ResourcePath.parse(
            (self.prefix + route.template).strip("/") if route else UNCLEAR_PATH
        )
        public = self.is_public if route is None else route.public
        if request.is_ambiguous or (public and self.credential(request) is None):
            if not request.is_ambiguous and (route is None or request.method in SAFE_METHODS):
                return error
            refused = RefusedRequest(
                code=error.code,
                message=error.message,
                denied=isinstance(error, AuthorizationError),
                method=request.method,
                path=request.path,
            )
            return await self.record_unread(request.id, request.origin, path, refused) or error
        payload = MalformedRequest(
            error=error,
            method=request.method,
            path=request.path,
            folder=self.disclosure_folder(request),
        )
        try:
            await self.run_operation(request, operations.MALFORMED_REQUEST, path, payload)
        except VaultError as refusal:
            told_anyway = isinstance(refusal, AuthenticationError) or refusal.code in _NOT_SERVING
            return error if public and told_anyway else refusal
        return error

    async def record_unread(
        self, request_id: str, origin: Origin, path: ResourcePath, refused: RefusedRequest
    ) -> VaultError | None:
        """Put on record, as anonymous, a request of which no credential is looked at.

        Returns the error that replaces the refusal: there were too many, or nothing can be
        recorded. None where the refusal stands.
        """
        op = Operation(
            type=operations.REFUSED_REQUEST,
            path=path,
            payload=refused,
            request_id=request_id,
            credential=None,
            origin=origin,
        )
        try:
            await self.service.run_operation(op)
        except VaultError as error:
            return None if error.code == refused.code or error.code in _NOT_SERVING else error
        raise RuntimeError("a refused request was carried out")

    def finds_in_mounts(self, path: str) -> bool:  # noqa: ARG002  # a dialect's own
        """Whether the mounts say what a path is."""
        return False

    async def catch_up(self, request: Request) -> None:
        """See what was acknowledged before this request. Its operation tells if that fails."""
        with suppress(VaultError):
            await self.service.catch_up()
            request.caught_up = True

    def disclosure_folder(self, request: Request) -> str:  # noqa: ARG002  # a dialect's own
        """The folder in which a caller must have some right to hear what is wrong; empty: none."""
        return ""

    def find_route(self, request: Request, path: str) -> tuple[Route, tuple[Any, ...]]:
        """The route of a request, and the arguments that its path holds. Raises as the router."""
        return self.router.match(request.method, path)

    def credential(self, request: Request) -> str | None:
        """`X-Vault-Token`, or a bearer token or key; None when the request carries none."""
        if token := request.header(b"x-vault-token"):
            return token
        scheme, _, text = request.header(b"authorization").partition(" ")
        return text.strip() or None if scheme.lower() == "bearer" else None

    def overload_reply(self) -> Reply:
        """The refusal of a request that was not looked at, because too many are in hand."""
        request_id = self.world.new_id()
        error = UnavailableError("overloaded", "too many requests; wait and try again")
        return self._counted_error_reply(error, request_id).with_header(b"x-request-id", request_id)

    def failure_reply(self, error: Exception) -> Reply:
        """The reply to a request that something outside of `answer` has failed.

        Under an id of its own, with which the log has what it was.
        """
        request_id = self.world.new_id()
        if isinstance(error, VaultError):
            log.info("request %s failed on the way: %s", request_id, error.code)
        else:
            error = internal_error(request_id, "its answer", error)
        return self._counted_error_reply(error, request_id).with_header(b"x-request-id", request_id)

    def error_reply(self, error: VaultError, request_id: str) -> Reply:
        """How this dialect tells an error."""
        raise NotImplementedError

    def _counted_error_reply(self, error: VaultError, request_id: str) -> Reply:
        reply = self.error_reply(error, request_id)
        if isinstance(error, UnavailableError):
            reply = replace(reply, refused=error.code)
        if error.code in _NOT_SERVING:
            reply = reply.with_header(b"connection", "close")
        wait = error.details.get("retry_after")
        if wait is None and isinstance(error, UnavailableError) and is_certainly_undone(error):
            wait = RETRY_AFTER
        return reply if wait is None else reply.with_header(b"retry-after", str(wait))

    async def run_operation(
        self,
        request: Request,
        operation: OperationType[P, R],
        path: ResourcePath,
        payload: P,
        *,
        part: str = "",
        memory: ResponseBudget | None = None,
    ) -> R:
        """Run one operation with the request's credential; returns the handler's result.

        `part` is added to the request's id where a request has several operations, `memory` is
        what one of these may take of the request's.
        """
        inline = self.inline_login(request)
        request.reached_pipeline = True
        return await self.service.run_operation(
            Operation(
                type=operation,
                path=path,
                payload=payload,
                request_id=request.id + part,
                credential=self.credential(request),
                origin=request.origin,
                caught_up=request.caught_up,
                memory=memory or request.memory,
                served=request.served,
                api=self.api_access(request, path),
                inline=inline,
            )
        )

    def inline_login(self, request: Request) -> InlineLogin | None:  # noqa: ARG002  # a dialect's own
        """The login that the request shows in place of a credential; None: it shows none.

        Raises `ValidationError`.
        """
        return None

    def api_access(
        self,
        request: Request,  # noqa: ARG002  # a dialect's own
        path: ResourcePath,  # noqa: ARG002  # the same
    ) -> ApiAccess | None:
        """What policies in Vault's language are asked about an operation on `path`.

        None: the nearest that there is.
        """
        return None


def _tell_state(reply: Reply, request: Request) -> Reply:
    """Say of which state the answer is: of which commit and, of a stale one, as of when."""
    served = request.served
    if served.commits:
        reply = reply.with_header(COMMIT_HEADER, str(served.commits))
    return reply.with_header(AS_OF_HEADER, rfc3339(served.as_of)) if served.as_of else reply


def refuse_cross_site(request: Request) -> None:
    """Refuse a change without a credential that a page of another site has had a browser send.

    Such a page needs no answer to make a new vault or to cancel an unsealing. Browsers say where a
    request comes from (Fetch Metadata; older ones with `Origin` alone); other clients say nothing.
    Raises `AuthorizationError` (`cross_site`).
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.header(b"sec-fetch-site"), request.header(b"origin")
    own = "//" + request.header(b"host").lower()
    if site == "same-origin":
        return
    if not site and (not origin or origin.lower().endswith(":" + own)):
        return
    raise AuthorizationError(
        "cross_site",
        "a browser sent this from a page of another site, which may not: use the CLI or the API",
    )


def is_certainly_undone(error: VaultError) -> bool:
    """Whether nothing of the request was done, for sure: then it can be repeated as it is."""
    return error.details.get("outcome", NOTHING_DONE) == NOTHING_DONE


def convert_fields(fields: object, shape: type[T]) -> T:
    """Check loose fields (a query string) against a struct. Raises `ValidationError`."""
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        message = f"the query is not as expected: {validation_message(error)}"
        raise ValidationError("query_invalid", message) from None
