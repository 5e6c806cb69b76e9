"""What the leader does for one worker: record its drafts, answer what it cannot."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias, cast

import msgspec
import trio

from vault.audit.broker import Broker
from vault.audit.draft import Draft
from vault.edge.reply import Headers
from vault.errors import TooLargeError, VaultError
from vault.model.operation import Operation
from vault.model.path import ResourcePath
from vault.model.payloads import ReadSecret, WriteSecret
from vault.model.results import SecretValue, Written
from vault.mutations import End
from vault.trail import unexpected
from vault.workers.carried import told_of
from vault.workers.wire import (
    MOST,
    MOST_RELAYED,
    Answered,
    Asked,
    Drafted,
    Lane,
    OversizedError,
    Recorded,
    Relayed,
    ToLeader,
)

log: Final = logging.getLogger("freehold.workers")

App = Callable[[Any, Any, Any], Awaitable[None]]
RunBelow: TypeAlias = Callable[[Operation, str], Awaitable[object]]
"""`(operation, traceparent)`: what it comes to; its spans are below that one."""

_PAYLOADS: Final[dict[str, Any]] = {"secret.read": ReadSecret, "secret.write": WriteSecret}
"""Of the operations that a request may have several of."""

_SEALED: Final = Recorded("the vault is sealed")
_TOO_LARGE: Final = TooLargeError(
    "answer_too_large", f"the answer is over {MOST >> 20} MiB; ask for less at a time"
)


class Answering(Protocol):
    """The leader's edge."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as ASGI has it."""

    def tell(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """The answer to a request at this path that has failed: status, headers, body."""


class AuditDesk:
    """Takes a frame of drafts, has them recorded, answers; in turn."""

    def __init__(self, lane: Lane[list[Drafted]], broker: Callable[[], Broker | None]) -> None:
        self._lane = lane
        self._broker = broker

    async def run(self) -> None:
        """Until the lane closes."""
        while True:
            drafts = await self._lane.receive()
            await self._lane.send(await self._recorded(drafts))

    async def _recorded(self, drafts: list[Drafted]) -> Recorded:
        broker = self._broker()
        if broker is None:
            return _SEALED
        stopped = broker.is_on_reserve()
        refused = tuple(i for i, one in enumerate(drafts) if one.begins) if stopped else ()
        taken = [one for one in drafts if not one.begins] if stopped else drafts
        try:
            if taken:
                await broker.record_together([Draft(d.time, "event", d.body) for d in taken])
        except VaultError as error:
            return Recorded(error.message, refused)
        return Recorded("", refused)


class RelayDesk:
    """Has requests answered by the leader's own edge, and operations run; each in its own task.

    What fails one of them is told to that one.
    """

    def __init__(self, lane: Lane[ToLeader], edge: Answering, run: RunBelow) -> None:
        self._lane = lane
        self._edge = edge
        self._run = run
        self._places = trio.Semaphore(MOST_RELAYED)

    async def run(self) -> None:
        """Until the lane closes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lane.run)
            while True:
                request = await self._lane.receive()
                try:
                    self._places.acquire_nowait()
                except trio.WouldBlock:
                    await self._places.acquire()
                nursery.start_soon(self._serve, request)

    async def _serve(self, request: ToLeader) -> None:
        try:
            await (self._answer(request) if isinstance(request, Relayed) else self._tell(request))
        finally:
            self._places.release()

    async def _tell(self, asked: Asked) -> None:
        try:
            self._lane.post(told_of(asked.id, await self._end(asked)))
        except Exception as error:  # noqa: BLE001  # as in a server: no other request's business
            fault = unexpected(asked.request_id, asked.name, error)
            self._lane.post(told_of(asked.id, fault))

    async def _end(self, asked: Asked) -> SecretValue | End:
        try:
            return cast("SecretValue | Written", await self._run(_operation(asked), asked.above))
        except VaultError as error:
            return error

    async def _answer(self, request: Relayed) -> None:
        try:
            heard = _Reply()
            await self._edge(_scope(request), _Body(request.body), heard)
            self._lane.post(Answered(request.id, heard.status, heard.headers, bytes(heard.body)))
        except OversizedError:
            self._fail(request, _TOO_LARGE)
        except Exception as error:  # noqa: BLE001  # as in a server: no other request's business
            self._fail(request, error)

    def _fail(self, request: Relayed, error: Exception) -> None:
        self._lane.post(Answered(request.id, *self._edge.tell(request.raw_path, error)))


class _Body:
    """`receive` of a request whose body is here."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}


class _Reply:
    """`send` that keeps the answer. Raises `OversizedError` once no frame could hold it."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            part = message.get("body", b"")
            if len(self.body) + len(part) > MOST:
                raise OversizedError("an answer is over the bound of a frame")
            self.body += part


def _operation(asked: Asked) -> Operation:
    return Operation(
        name=asked.name,
        path=ResourcePath.parse(asked.path),
        payload=msgspec.msgpack.decode(asked.payload, type=_PAYLOADS[asked.name]),
        request_id=asked.request_id,
        credential=asked.credential,
        origin=asked.origin,
        part=True,
    )


def _scope(request: Relayed) -> dict[str, Any]:
    tls = {"tls": {"peer_certificate": request.certificate}}
    return {
        "type": "http",
        "method": request.method,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "headers": request.headers,
        "client": request.client,
        "extensions": tls if request.certificate else {},
    }
