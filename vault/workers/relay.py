"""The worker's side of relaying: a request that is not for it goes to the leader whole.

Of one that is several operations each that is not for it goes by itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import msgspec
import trio
from msgspec import Raw

from protocols.http.asgi import RESERVATION
from vault.edge.asgi import ALWAYS_SERVED, EdgeApp
from vault.edge.compat.dialect import MAX_BODY as COMPAT_BODY
from vault.edge.native.dialect import MAX_BODY as NATIVE_BODY
from vault.edge.reply import Send
from vault.edge.request import Receive
from vault.errors import UnavailableError
from vault.model.operation import COPIES, UNBOUNDED_BUDGET, Operation, ResponseBudget, answers_full
from vault.workers.carried import result_of
from vault.workers.door import WorkerDoor, may_serve
from vault.workers.elsewhere import Elsewhere
from vault.workers.wire import (
    DEADLINE,
    LOOK_EVERY,
    MOST_RELAYED,
    MOST_URGENT,
    Answered,
    Asked,
    Lane,
    Relayed,
    Taken,
    Told,
    ToLeader,
    ToWorker,
    no_answer,
    overloaded,
)

MOST_BODY: Final = max(COMPAT_BODY, NATIVE_BODY) + 1
"""Bytes of a body that are passed on: enough for the leader to see that it is too large."""
MOST_PARTS: Final = 128
"""Operations of requests of several that are asked of the leader at a time: there may be a thousand
of each request, and who asks for one thing has his place beside them."""
TRACEPARENT: Final = b"traceparent"  # W3C Trace Context, 3.2

_encode: Final = msgspec.msgpack.Encoder().encode


class Relay:
    """Asks the leader and waits for his answer. `run` must run meanwhile."""

    def __init__(self, lane: Lane[ToWorker], traceparent: Callable[[], str] = str) -> None:
        """`traceparent`: of what is under way, so that the leader's spans are below ours."""
        self._lane = lane
        self._traceparent = traceparent
        self._slots: dict[int, _Slot] = {}
        self._places = _Places(MOST_RELAYED)
        self._urgent = _Places(MOST_URGENT)
        self._parts = _Places(MOST_PARTS)
        self._last = 0

    async def run(self) -> None:
        """Hand out answers, until the lane closes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hand_out)
            nursery.start_soon(self._give_up)

    async def _hand_out(self) -> None:
        while True:
            answer = await self._lane.next_message()
            slot = self._slots.get(answer.id)
            if slot is not None:
                slot.answer = answer
                slot.there.set()
            else:  # nobody waits any more
                self.taken(answer)

    async def _give_up(self) -> None:
        """Tell those that have waited too long. A time-out for each would be 20 µs of a request."""
        while True:
            await trio.sleep(LOOK_EVERY)
            latest = trio.current_time() - DEADLINE
            for slot in self._slots.values():
                if slot.since < latest:
                    slot.there.set()

    async def answer(self, scope: Any, body: bytes | None) -> Answered:
        """What the leader answers to a request; `body` None: it was cut short.

        Raises `UnavailableError`.
        """
        above = self._traceparent().encode()
        places = self._urgent if scope["raw_path"] in ALWAYS_SERVED else self._places
        answer = await self._asked(lambda number: _relayed(number, scope, body, above), places)
        return cast("Answered", answer)

    async def run_there(self, op: Operation[Any, Any]) -> Any:
        """What a read or a write of a secret comes to that the leader runs, or what it raises."""
        above = self._traceparent()
        async with self._parts:
            question = partial(_asked, op=op, above=above)
            told = cast("Told", await self._asked(question, self._places))
        value = told.value.value if told.value is not None else None
        await self.account(told, op.memory, len(value or b""))
        return result_of(told)

    async def account(self, answer: ToWorker, memory: ResponseBudget, size: int) -> None:
        """Take an answer of `size` bytes on this process's account, for which the leader waits.

        Raises `UnavailableError` where there is no room for it.
        """
        if not answer.reserved:
            return
        try:
            if not await memory.take(COPIES * size):
                raise answers_full()
        finally:
            self.taken(answer)

    def taken(self, answer: ToWorker) -> None:
        """Let the leader's memory for it be another's."""
        if answer.reserved:
            self._lane.post(Taken(answer.id))

    async def _asked(self, question: Callable[[int], ToLeader], places: "_Places") -> ToWorker:
        """Raises `UnavailableError`."""
        async with places:
            answer = await self._ask(question)
        if answer is None:
            raise no_answer()
        return answer

    async def _ask(self, question: Callable[[int], ToLeader]) -> ToWorker | None:
        self._last = number = self._last + 1
        slot = self._slots[number] = _Slot()
        try:
            self._lane.post(question(number))
            await slot.there.wait()
        except trio.Cancelled:
            if slot.answer is not None:
                self.taken(slot.answer)
            raise
        finally:
            del self._slots[number]
        return slot.answer


class _Places:
    """With the leader: whoever is in the block has one."""

    def __init__(self, count: int) -> None:
        self._free = trio.Semaphore(count)

    async def __aenter__(self) -> None:
        """Take one; without a turn of the event loop when there is one.

        Raises `UnavailableError` (`overloaded`) when there is none for `DEADLINE`.
        """
        try:
            self._free.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(DEADLINE) as waiting:
                await self._free.acquire()
            if waiting.cancelled_caught:
                raise overloaded() from None

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class _Slot:
    __slots__ = ("answer", "since", "there")

    def __init__(self) -> None:
        self.since = trio.current_time()
        self.answer: ToWorker | None = None
        self.there = trio.Event()


class WorkerApp:
    """ASGI: the edge for what may be done here, the relay for the rest."""

    def __init__(
        self, edge: EdgeApp, door: WorkerDoor, relay: Relay, *, browsers: bool = False
    ) -> None:
        """`browsers`: a cookie may be a session, which the leader alone reads."""
        self._browsers = browsers
        self._edge = edge
        self._door = door
        self._relay = relay
        self.error_response = edge.error_response
        self.refuse_unread = edge.refuse_unread
        self.overload_response = edge.overload_response

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request. Here it is decided by whom; of several operations by the door.

        Once it is whole: a body may take its time, and what is so when it is there counts.
        """
        body = await _read(receive)
        if body is not None and self._may_be_ours(scope) and await self._door.serves():
            try:
                await self._edge(scope, _Whole(body), send)
            except Elsewhere:
                pass
            else:
                return
        try:
            answer = await self._relay.answer(scope, body)
            memory = scope.get(RESERVATION) or UNBOUNDED_BUDGET
            await self._relay.account(answer, memory, len(answer.body))
        except UnavailableError as error:
            answer = Answered(0, *self._edge.failure_response(scope["raw_path"], error))
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})

    def _may_be_ours(self, scope: Any) -> bool:
        may = may_serve(scope["method"], scope["raw_path"])
        return may and not (self._browsers and _has_cookie(scope))


def _has_cookie(scope: Any) -> bool:
    return any(name == b"cookie" for name, _ in scope["headers"])


class _Whole:
    """`receive` of a request whose body is here, as often as it is asked."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> Any:
        return {"type": "http.request", "body": self._body, "more_body": False}


async def _read(receive: Receive) -> bytes | None:
    parts, size, more = [], 0, True
    while more and size < MOST_BODY:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _asked(number: int, op: Operation[Any, Any], above: str) -> Asked:
    payload = Raw(_encode(op.payload))
    path, credential = str(op.path), op.credential
    return Asked(number, op.name, path, payload, op.request_id, credential, op.origin, above)


def _relayed(number: int, scope: Any, body: bytes | None, above: bytes) -> Relayed:
    headers = scope["headers"]
    if above:
        headers = [*(pair for pair in headers if pair[0] != TRACEPARENT), (TRACEPARENT, above)]
    tls = scope.get("extensions", {}).get("tls", {})
    return Relayed(
        number,
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        headers,
        scope.get("client"),
        tls.get("peer_certificate"),
        None if body is None else body[:MOST_BODY],
    )
