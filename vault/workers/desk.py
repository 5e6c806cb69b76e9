"""What the leader does for one worker: record its drafts, answer what is about the agent itself."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import trio

from protocols.http import response_budget
from protocols.http.asgi import RESERVATION
from protocols.http.response_budget import Reservation
from vault.audit.broker import AuditBroker
from vault.audit.pending_record import PendingRecord
from vault.edge.asgi import ALWAYS_SERVED
from vault.edge.reply import Headers
from vault.errors import TooLargeError, VaultError
from vault.model.operation import ResponseBudget
from vault.workers.wire import (
    MOST,
    MOST_RELAYED,
    MOST_URGENT,
    Answered,
    Drafted,
    Lane,
    OversizedError,
    Recorded,
    Relayed,
    Taken,
    ToLeader,
)

log: Final = logging.getLogger("freehold.workers")

App = Callable[[Any, Any, Any], Awaitable[None]]

_FRAMED: Final = 2  # times the memory of an answer: the answer, and the frame that it is sent in
_SEALED: Final = Recorded("the vault is sealed")
_TOO_LARGE: Final = TooLargeError(
    "answer_too_large", f"the answer is over {MOST >> 20} MiB; ask for less at a time"
)


class Answering(Protocol):
    """The leader's edge."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as ASGI has it."""

    def failure_response(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """The answer to a request at this path that has failed: status, headers, body."""


class AuditDesk:
    """Takes a frame of drafts, has them recorded, answers; in turn."""

    def __init__(self, lane: Lane[list[Drafted]], broker: Callable[[], AuditBroker | None]) -> None:
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
                await broker.record_batch([PendingRecord(d.time, "event", d.body) for d in taken])
        except VaultError as error:
            return Recorded(error.message, refused)
        return Recorded("", refused)


class RelayDesk:
    """Has requests answered by the leader's own edge, each in its own task.

    What fails one of them is told to that one. Memory that is reserved for an answer is held until
    the worker says that the answer is on its own account.
    """

    def __init__(
        self,
        lane: Lane[ToLeader],
        edge: Answering,
        answers: response_budget.ResponseBudget,
    ) -> None:
        """`answers` is the budget of this process for all its workers."""
        self._lane = lane
        self._edge = edge
        self._answers = answers
        self._places = trio.Semaphore(MOST_RELAYED)
        self._urgent = trio.Semaphore(MOST_URGENT)
        self._reserved: dict[int, Reservation] = {}  # by the ids of requests

    @property
    def is_answering(self) -> bool:
        """Whether somebody waits for an answer through the worker: that of a seal, perhaps."""
        return bool(self._reserved)

    async def run(self) -> None:
        """Until the lane closes."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._lane.run)
                while True:
                    await self._take(await self._lane.receive(), nursery)
        finally:
            for reservation in self._reserved.values():
                reservation.release()

    async def _take(self, request: ToLeader, nursery: trio.Nursery) -> None:
        if isinstance(request, Taken):
            if (reservation := self._reserved.pop(request.id, None)) is not None:
                reservation.release()
            return
        places = self._urgent if request.raw_path in ALWAYS_SERVED else self._places
        try:
            places.acquire_nowait()
        except trio.WouldBlock:
            await places.acquire()
        nursery.start_soon(self._serve, request, places)

    async def _serve(self, request: Relayed, places: trio.Semaphore) -> None:
        address = request.client[0] if request.client else None
        reservation = Reservation(self._answers, self._answers.usage_of(address))
        self._reserved[request.id] = reservation
        try:
            await self._answer(request, reservation)
        finally:
            places.release()
            if not reservation.held:
                self._reserved.pop(request.id, None)

    async def _answer(self, request: Relayed, reservation: Reservation) -> None:
        try:
            heard = _Reply()
            scope = _scope(request, _Relaying(reservation))
            await self._edge(scope, _Body(request.body), heard)
            self._lane.post(
                Answered(
                    request.id,
                    heard.status,
                    heard.headers,
                    bytes(heard.body),
                    bool(reservation.held),
                )
            )
        except OversizedError:
            self._fail(request, _TOO_LARGE)
        except Exception as error:  # noqa: BLE001  # as in a server: no other request's business
            self._fail(request, error)

    def _fail(self, request: Relayed, error: Exception) -> None:
        self._reserved[request.id].release()
        self._lane.post(Answered(request.id, *self._edge.failure_response(request.raw_path, error)))


class _Relaying:
    """The memory of what is relayed: it is there once more as a frame."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation

    def take_nowait(self, size: int) -> bool:
        """As `vault.model.operation.Memory` has it."""
        return self._reservation.take_nowait(_FRAMED * size)

    async def take(self, size: int) -> bool:
        """As `vault.model.operation.Memory` has it."""
        return await self._reservation.take(_FRAMED * size)


class _Body:
    """`receive` of a request whose body is here, or was cut short."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    async def __call__(self) -> dict[str, Any]:
        if self._body is None:
            return {"type": "http.disconnect"}
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


def _scope(request: Relayed, memory: ResponseBudget) -> dict[str, Any]:
    tls = {"tls": {"peer_certificate": request.certificate}}
    return {
        "type": "http",
        "method": request.method,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "headers": request.headers,
        "client": request.client,
        "extensions": tls if request.certificate else {},
        RESERVATION: memory,
    }
