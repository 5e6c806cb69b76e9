"""The worker's side of relaying: a request about the agent itself goes to the leader whole.

So does every request while this process has no keys: the leader tells what is wrong. And while it
lacks much that others committed: the leader, which does not, answers.
"""

from collections.abc import Callable
from typing import Any, Final

import trio

from protocols.http.asgi import RESERVATION
from vault.edge.asgi import ALWAYS_SERVED, EdgeApp
from vault.edge.compat.dialect import MAX_BODY as COMPAT_BODY
from vault.edge.native.dialect import MAX_BODY as NATIVE_BODY
from vault.edge.reply import Send
from vault.edge.request import Receive
from vault.errors import UnavailableError
from vault.model.operation import COPIES, UNBOUNDED_BUDGET, ResponseBudget, answers_full
from vault.workers.service import WorkerService
from vault.workers.wire import (
    DEADLINE,
    LOOK_EVERY,
    MOST_RELAYED,
    MOST_URGENT,
    Answered,
    Lane,
    Relayed,
    Taken,
    no_answer,
    overloaded,
)

MOST_BODY: Final = max(COMPAT_BODY, NATIVE_BODY) + 1
"""Bytes of a body that are passed on: enough for the leader to see that it is too large."""
TRACEPARENT: Final = b"traceparent"  # W3C Trace Context, 3.2

_OWN: Final = (b"/v1/", b"/api/v1/")  # paths that a worker answers ...
_LEADERS: Final = (  # ... but for what is below these
    b"/v1/sys/",
    b"/api/v1/system/",
    b"/api/v1/audit/",
    b"/api/v1/policies-replay",
    b"/api/v1/backups",
)
_LONGEST: Final = max(map(len, _LEADERS))


def is_leaders(raw_path: bytes) -> bool:
    """Whether a request is about the agent itself: its seal, keys, health, audit log and link.

    A path whose beginning is written in another way (`/v1/%73ys/seal`) may be one, too.
    """
    if not raw_path.startswith(_OWN) or raw_path.startswith(_LEADERS):
        return True
    beginning = raw_path[:_LONGEST]
    return b"%" in beginning or b"//" in beginning or b"/." in beginning


class Relay:
    """Asks the leader and waits for his answer. `run` must run meanwhile."""

    def __init__(self, lane: Lane[Answered], traceparent: Callable[[], str] = str) -> None:
        """`traceparent`: of what is under way, so that the leader's spans are below ours."""
        self._lane = lane
        self._traceparent = traceparent
        self._slots: dict[int, _Slot] = {}
        self._places = _Places(MOST_RELAYED)
        self._urgent = _Places(MOST_URGENT)
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
        async with places:
            answer = await self._ask(scope, body, above)
        if answer is None:
            raise no_answer()
        return answer

    async def account(self, answer: Answered, memory: ResponseBudget, size: int) -> None:
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

    def taken(self, answer: Answered) -> None:
        """Let the leader's memory for it be another's."""
        if answer.reserved:
            self._lane.post(Taken(answer.id))

    async def _ask(self, scope: Any, body: bytes | None, above: bytes) -> Answered | None:
        self._last = number = self._last + 1
        slot = self._slots[number] = _Slot()
        try:
            self._lane.post(_relayed(number, scope, body, above))
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
        self.answer: Answered | None = None
        self.there = trio.Event()


class WorkerApp:
    """ASGI: the edge for what is served here, the relay for the rest."""

    def __init__(self, edge: EdgeApp, service: WorkerService, relay: Relay) -> None:
        self._edge = edge
        self._service = service
        self._relay = relay
        self.error_response = edge.error_response
        self.refuse_unread = edge.refuse_unread
        self.overload_response = edge.overload_response

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if self._service.is_serving and not is_leaders(scope["raw_path"]):
            await self._edge(scope, receive, send)
            return
        body = await _read(receive)
        try:
            answer = await self._relay.answer(scope, body)
            memory = scope.get(RESERVATION) or UNBOUNDED_BUDGET
            await self._relay.account(answer, memory, len(answer.body))
        except UnavailableError as error:
            answer = Answered(0, *self._edge.failure_response(scope["raw_path"], error))
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})


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
