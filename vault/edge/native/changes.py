"""`/api/v1/changes`: which secrets changed since a cursor, by long polling or as an event stream.

Between two answers nothing is held of a request but its connection and a few names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from protocols.instant import SECOND, parse_duration, rfc3339
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.native.secrets import secret_path
from vault.edge.native.views import error_body
from vault.edge.reply import Reply, Send
from vault.edge.request import Request
from vault.errors import (
    AuthenticationError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.changes import (
    CHANGES_EXPIRED,
    AcknowledgeVersion,
    ChangesRead,
    ChangeWatch,
    IdleRequest,
    ReadChanges,
    SecretChange,
    WatchEvent,
)

MAX_WAIT: Final = 300  # seconds that a long poll may wait
HEARTBEAT: Final = 15.0
"""Seconds without a change after which a stream sends a cursor: proxies cut what is silent for
longer, and a client that comes back should not have all read again since the last change."""
RECONNECT_MS: Final = 2_000  # after which a browser comes back by itself
EVENT_STREAM: Final = b"text/event-stream"

changes = Endpoints("changes", "Which secrets change, as it happens.")

_encode: Final = msgspec.json.Encoder().encode


class ChangesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """After which cursor, below which folders (`a/,b/c`), and how long to wait for a change."""

    since: str = ""
    prefix: str = ""
    wait: str = ""


class ChangeBody(Struct, frozen=True):
    """A secret that changed, as it is now; `status` is `removed` where it is gone.

    Of a secret whose metadata the caller may not read, there is the name alone.
    """

    path: str
    version: int | None
    status: str | None
    updated_at: str | None


class ChangesBody(Struct, frozen=True):
    """Each secret that changed, once. `cursor`: where to go on; `has_more`: at once."""

    changes: list[ChangeBody]
    cursor: str
    has_more: bool


@changes.add(
    "GET",
    "changes",
    "Wait for changes of secrets (also as text/event-stream)",
    query=ChangesQuery,
    returns=ChangesBody,
    errors=(409,),
)
async def follow(dialect: Dialect, request: Request, *, query: ChangesQuery) -> ChangesBody | Reply:
    wait = parse_duration(query.wait, "wait") / SECOND if query.wait else 0.0
    if not 0 <= wait <= MAX_WAIT:
        raise ValidationError("wait_invalid", f"wait may be at most {MAX_WAIT}s", field="wait")
    reader = _Reader(dialect, request, tuple(filter(None, query.prefix.split(","))))
    accepted = request.header(b"accept").partition(";")[0].strip().lower().encode()
    if accepted == EVENT_STREAM and request.method == "GET":
        since = request.header(b"last-event-id") or query.since
        if request.idle is None:
            raise UnavailableError(
                "stream_unavailable", "this process cannot stream for now: try again"
            )
        return await _Stream(reader, request.idle).reply(since)
    found = await reader.read(query.since)
    if wait and query.since and not found.changes and request.idle is not None:
        return await _poll(reader, found, request.idle, dialect.world.monotonic() + wait)
    return _body(found)


class Acknowledged(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret and the version of it that the caller uses from now on."""

    path: str
    version: Annotated[int, Meta(ge=1, lt=2**31)]


class AcknowledgedBody(Struct, frozen=True):
    """What was put on record; `is_current`: whether there is no newer version."""

    path: str
    version: int
    is_current: bool


@changes.add(
    "POST",
    "changes/ack",
    "Acknowledge a version: the caller uses it from now on",
    body=Acknowledged,
    returns=AcknowledgedBody,
    errors=(404,),
)
async def acknowledge(
    dialect: Dialect, request: Request, *, body: Acknowledged
) -> AcknowledgedBody:
    secret = await dialect.run_operation(
        request,
        operations.ACKNOWLEDGE_VERSION,
        secret_path(body.path),
        AcknowledgeVersion(version=body.version),
    )
    return AcknowledgedBody(body.path, body.version, body.version == secret.current_version)


class _Reader:
    """The reads of one request. Each is an operation: authenticated, authorized and audited."""

    def __init__(self, dialect: Dialect, request: Request, prefixes: tuple[str, ...]) -> None:
        self.dialect = dialect
        self.request = request
        self._prefixes = prefixes
        self._count = 0

    async def read(self, since: str) -> ChangesRead:
        """What changed after the cursor."""
        self._count += 1
        return await self.dialect.run_operation(
            self.request,
            operations.READ_CHANGES,
            system_path("changes"),
            ReadChanges(since=since, prefixes=self._prefixes),
            part=f".{self._count}" if self._count > 1 else "",
        )


async def _poll(
    reader: _Reader, found: ChangesRead, idle: IdleRequest, deadline: float
) -> ChangesBody:
    """The next changes, or none at the deadline. Raises `VaultError` where the wait was cut."""
    monotonic, watch = reader.dialect.world.monotonic, found.watch
    with watch.open(idle), _suspended(idle):
        while (left := deadline - monotonic()) > 0:
            event = await watch.wait(left)
            if event is WatchEvent.SEALED:
                raise UnavailableError("sealed", "Vault is sealed")
            if event is not WatchEvent.CHANGED:
                break
            async with watch.turn():
                with _resumed(idle):
                    found = await reader.read(watch.cursor)
            if found.changes:
                return _body(found)
        return ChangesBody([], watch.cursor, has_more=False)


class _Stream:
    """Server-sent events of one client. While it reads slowly nothing is read for it."""

    def __init__(self, reader: _Reader, idle: IdleRequest) -> None:
        self._reader = reader
        self._idle = idle
        self._found: ChangesRead

    async def reply(self, since: str) -> Reply:
        """The answer, whose first read is done: what is refused is no stream."""
        self._found = await self._reader.read(since)
        return Reply(200, content_type=EVENT_STREAM, stream=self._stream)

    async def _stream(self, send: Send) -> None:
        with _suspended(self._idle):
            # The cursor of changes comes with them: a client that has it has these, too.
            cursor = b"" if self._found.changes else b"id: %s\n" % self._found.cursor.encode()
            await _send(send, b"retry: %d\n%s\n" % (RECONNECT_MS, cursor))
            try:
                while await self._send_and_wait(send):
                    self._found = await self._read(send)
            except VaultError as error:
                body = error_body(error, self._reader.request.id, self._reader.dialect.world.now())
                await _send_event(send, "error", body)
        await send({"type": "http.response.body", "body": b""})

    async def _send_and_wait(self, send: Send) -> bool:
        """Until there is more to be read; False: until the server stops. Raises `VaultError`."""
        if self._found.changes:
            await _send_event(send, "changes", _body(self._found), self._found.cursor)
            self._found = replace(self._found, changes=[])  # not held while it waits
        return self._found.has_more or await self._wait(send, self._found.watch)

    async def _read(self, send: Send) -> ChangesRead:
        """What changed since; from now on, where that cannot be told any more."""
        found = self._found
        cursor = found.cursor if found.has_more else found.watch.cursor
        try:
            async with found.watch.turn():
                with _resumed(self._idle):
                    return await self._reader.read(cursor)
        except RateLimitError as error:
            await self._reader.dialect.world.sleep(float(str(error.details.get("retry_after", 1))))
            return found  # the watch still waits at its position
        except VaultError as error:
            if error.code != CHANGES_EXPIRED:
                raise
            cursor = str(error.details["cursor"])
        await _send_event(send, "expired", {"cursor": cursor}, cursor)
        async with found.watch.turn():
            with _resumed(self._idle):
                return await self._reader.read(cursor)

    async def _wait(self, send: Send, watch: ChangeWatch) -> bool:
        """Until there is a change to be read; False: until the server stops.

        Raises `VaultError`.
        """
        with watch.open(self._idle):
            while (event := await watch.wait(HEARTBEAT)) is WatchEvent.TIMED_OUT:
                if not await watch.is_still_valid():
                    raise AuthenticationError("unauthenticated", "permission denied")
                await _send(send, b"id: %s\n\n" % watch.cursor.encode())
            if event is WatchEvent.SEALED:
                raise UnavailableError("sealed", "Vault is sealed")
            return event is WatchEvent.CHANGED


def _body(found: ChangesRead) -> ChangesBody:
    return ChangesBody([*map(_change, found.changes)], found.cursor, found.has_more)


def _change(one: SecretChange) -> ChangeBody:
    updated = rfc3339(one.updated_at) if one.updated_at else None
    return ChangeBody(one.path, one.version, one.status, updated)


async def _send_event(send: Send, name: str, data: object, cursor: str = "") -> None:
    """One event (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    The JSON has no line breaks.
    """
    line = f"id: {cursor}\n".encode() if cursor else b""
    await _send(send, b"event: %s\n%sdata: %s\n\n" % (name.encode(), line, _encode(data)))


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


@contextmanager
def _suspended(idle: IdleRequest) -> Iterator[None]:
    """It waits within the block."""
    idle.suspend()
    try:
        yield
    finally:
        idle.resume()


@contextmanager
def _resumed(idle: IdleRequest) -> Iterator[None]:
    """It works within the block."""
    idle.resume()
    try:
        yield
    finally:
        idle.suspend()
