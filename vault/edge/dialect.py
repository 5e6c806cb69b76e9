"""What every dialect does alike: read the request, find its route, run operations, tell errors."""

import logging
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors.world import World
from vault.door import Door
from vault.edge.reply import Reply
from vault.edge.request import Receive, Request, read_request, told
from vault.edge.router import Route, Router
from vault.errors import UnavailableError, ValidationError, VaultError
from vault.model.operation import Operation
from vault.model.path import ResourcePath
from vault.trail import unexpected

T = TypeVar("T")

RETRY_AFTER: Final = 1  # seconds, of a 503; clients wait it out, so it is short
NOTHING_DONE: Final = "none"  # an outcome, and what is meant where none is told
UNMATCHED: Final = "unmatched"  # the endpoint label of everything that has no route

log: Final = logging.getLogger("freehold.edge")


class Dialect:
    """A wire language. A subclass has a `router`, bounds bodies, and says how errors look."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    router: ClassVar[Router]
    max_body: ClassVar[int]

    def __init__(self, gate: Door, world: World) -> None:
        self.gate = gate
        self.world = world

    async def answer(self, scope: Any, receive: Receive) -> tuple[Reply, str]:
        """The reply to one request, and the template of its route.

        Every reply names the request (`X-Request-Id`), and a "not now" says when (`Retry-After`),
        unless it may be done already: whoever obeys would do it twice.
        """
        request_id, endpoint = self.world.new_request_id(), UNMATCHED
        try:
            request = await read_request(
                scope, receive, request_id=request_id, dialect=self.name, max_body=self.max_body
            )
            path = request.path.removeprefix(self.prefix)
            route, values = self.find(request, path)
            endpoint = self.prefix + route.template
            await trio.lowlevel.checkpoint()  # see `Edge.__call__`
            reply = await route.answer(self, request, *values)
        except VaultError as error:
            reply = self._refusal(error, request_id)
        except Exception as error:  # noqa: BLE001  # logged without its text, told as ours
            reply = self._refusal(unexpected(request_id, endpoint, error), request_id)
        return reply.with_header(b"x-request-id", request_id), endpoint

    def find(self, request: Request, path: str) -> tuple[Route, tuple[Any, ...]]:
        """The route of a request, and the arguments that its path holds. Raises as the router."""
        return self.router.match(request.method, path)

    def credential(self, request: Request) -> str | None:
        """`X-Vault-Token`, or a bearer token or key; None when the request carries none."""
        if token := request.header(b"x-vault-token"):
            return token
        scheme, _, text = request.header(b"authorization").partition(" ")
        return text.strip() or None if scheme.lower() == "bearer" else None

    def overloaded(self) -> Reply:
        """The refusal of a request that was not looked at, because too many are in hand."""
        request_id = self.world.new_id()
        error = UnavailableError("overloaded", "too many requests; wait and try again")
        return self._refusal(error, request_id).with_header(b"x-request-id", request_id)

    def failure(self, error: Exception) -> Reply:
        """The reply to a request that something outside of `answer` has failed.

        Under an id of its own, with which the log has what it was.
        """
        request_id = self.world.new_id()
        if isinstance(error, VaultError):
            log.info("request %s failed on the way: %s", request_id, error.code)
        else:
            error = unexpected(request_id, "its answer", error)
        return self._refusal(error, request_id).with_header(b"x-request-id", request_id)

    def error(self, error: VaultError, request_id: str) -> Reply:
        """How this dialect tells an error."""
        raise NotImplementedError

    def _refusal(self, error: VaultError, request_id: str) -> Reply:
        reply = self.error(error, request_id)
        if isinstance(error, UnavailableError):
            reply = replace(reply, refused=error.code)
        wait = error.details.get("retry_after")
        if wait is None and isinstance(error, UnavailableError) and is_undone(error):
            wait = RETRY_AFTER
        return reply if wait is None else reply.with_header(b"retry-after", str(wait))

    async def run(
        self, request: Request, name: str, path: ResourcePath, payload: object, *, part: str = ""
    ) -> Any:
        """Run one operation with the request's credential; returns the handler's result.

        `part` is added to the request's id where a request has several operations.
        """
        return await self.gate.run(
            Operation(
                name=name,
                path=path,
                payload=payload,
                request_id=request.id + part,
                credential=self.credential(request),
                origin=request.origin,
                part=bool(part),
            )
        )


def is_undone(error: VaultError) -> bool:
    """Whether nothing of the request was done, for sure: then it can be repeated as it is."""
    return error.details.get("outcome", NOTHING_DONE) == NOTHING_DONE


def convert(fields: object, shape: type[T]) -> T:
    """Check loose fields (a query string) against a struct. Raises `ValidationError`."""
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        message = f"the query is not as expected: {told(error)}"
        raise ValidationError("query_invalid", message) from None
