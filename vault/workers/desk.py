"""What the leader does for one worker: record its drafts, answer its relayed requests."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from vault.audit.broker import Broker
from vault.audit.draft import Draft
from vault.errors import VaultError
from vault.workers.relay import MOST_RELAYED
from vault.workers.wire import Answered, Drafted, Lane, Recorded, Relayed

App = Callable[[Any, Any, Any], Awaitable[None]]

_SEALED: Final = Recorded("the vault is sealed")


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
    """Has relayed requests answered by the leader's own edge, each in a task of its own."""

    def __init__(self, lane: Lane[Relayed], app: App) -> None:
        self._lane = lane
        self._app = app
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
                nursery.start_soon(self._answer, request)

    async def _answer(self, request: Relayed) -> None:
        try:
            heard = _Reply()
            await self._app(_scope(request), _Body(request.body), heard)
            self._lane.post(Answered(request.id, heard.status, heard.headers, bytes(heard.body)))
        finally:
            self._places.release()


class _Body:
    """`receive` of a request whose body is here."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}


class _Reply:
    """`send` that keeps the answer."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


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
