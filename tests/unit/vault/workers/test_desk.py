"""vault.workers.desk: what the leader answers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from vault.audit.broker import Broker
from vault.audit.writer import unavailable
from vault.edge.reply import Headers
from vault.workers.desk import App, AuditDesk, RelayDesk
from vault.workers.relay import MOST_RELAYED
from vault.workers.wire import MOST, Answered, Drafted, Lane, Recorded, Relayed


class FakeBroker:
    """Keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.full = False
        self.failing = False

    def is_on_reserve(self) -> bool:
        """Whether the disk is full."""
        return self.full

    async def record_together(self, drafts: list[Any]) -> None:
        """Keep their bodies."""
        await trio.lowlevel.checkpoint()
        if self.failing:
            raise unavailable()
        self.bodies += [draft.body for draft in drafts]


@asynccontextmanager
async def ends() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """A pair of streams."""
    one, two = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    async with one, two:
        yield one, two


async def asked(broker: FakeBroker | None, drafts: list[Drafted]) -> Recorded:
    """What an audit desk answers to one frame."""
    async with ends() as (one, two), trio.open_nursery() as nursery:
        given: Broker | None = broker  # type: ignore[assignment]  # as much as it asks for
        nursery.start_soon(AuditDesk(Lane(one, list[Drafted]), lambda: given).run)
        worker: Lane[Recorded] = Lane(two, Recorded)
        await worker.send(drafts)
        answer = await worker.receive()
        nursery.cancel_scope.cancel()
    return answer


NEW = Drafted(1, b"new", begins=True)
END = Drafted(2, b"end", begins=False)


async def test_recorded() -> None:
    """All are recorded together, in their order."""
    broker = FakeBroker()
    assert await asked(broker, [NEW, END, NEW]) == Recorded()
    assert broker.bodies == [b"new", b"end", b"new"]


async def test_a_full_disk_stops_what_is_new() -> None:
    """The rest is recorded; a frame of nothing else records nothing."""
    broker = FakeBroker()
    broker.full = True
    assert await asked(broker, [NEW, END, NEW]) == Recorded("", (0, 2))
    assert broker.bodies == [b"end"]
    assert await asked(broker, [NEW]) == Recorded("", (0,))


async def test_not_recorded() -> None:
    """The worker hears why, also while the vault is sealed."""
    broker = FakeBroker()
    broker.failing = True
    assert (await asked(broker, [NEW])).error
    assert (await asked(None, [NEW])).error


def relayed(number: int, path: bytes = b"/v1/x") -> Relayed:
    """A request."""
    return Relayed(number, "POST", path, b"a=1", [(b"h", b"v")], ("10.0.0.1", 5), b"der", b"body")


class FakeEdge:
    """Answers as `app` does, and tells failures by their types."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self.app(scope, receive, send)

    def tell(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """What failed, and where."""
        return getattr(error, "status", 500), [(b"k", b"v")], repr(error).encode() + path


@asynccontextmanager
async def served(app: App) -> AsyncIterator[Lane[Answered]]:
    """A worker's end of a lane at whose other one `app` answers."""
    async with ends() as (one, two), trio.open_nursery() as nursery:
        nursery.start_soon(RelayDesk(Lane(one, Relayed), FakeEdge(app)).run)
        yield Lane(two, Answered)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("halves", [2, 9])
async def test_an_answer_over_the_bound_is_an_error_of_its_own(halves: int) -> None:
    """Whether by its body, of which no more is taken, or with what is around it.

    Another request is answered as ever.
    """

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(halves):
            size = 1 if scope["raw_path"] == b"/small" else MOST // 2
            await send({"type": "http.response.body", "body": bytes(size)})
            taken.append(size)

    taken: list[int] = []
    async with served(app) as worker:
        await worker.send(relayed(1, b"/large"))
        refused = await worker.receive()
        assert (refused.id, refused.status, refused.headers) == (1, 413, [(b"k", b"v")])
        assert b"answer_too_large" in refused.body
        assert refused.body.endswith(b"/large")
        assert sum(taken) == MOST
        await worker.send(relayed(2, b"/small"))
        assert await worker.receive() == Answered(2, 200, [], bytes(halves))


async def test_what_fails_one_request_is_told_to_that_one() -> None:
    """Whatever the application raises, also in the middle of an answer; the places come back."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["raw_path"] == b"/bad":
            raise ValueError("bad")
        await send({"type": "http.response.body", "body": b"good"})

    async with served(app) as worker:
        for number in range(MOST_RELAYED + 1):
            await worker.send(relayed(number, b"/bad"))
            failed = await worker.receive()
            assert (failed.id, failed.status) == (number, 500)
        await worker.send(relayed(0))
        assert (await worker.receive()).body == b"good"


async def test_relayed_requests_are_answered_beside_each_other() -> None:
    """As ASGI has them; a slow one holds up no other."""
    seen: list[Any] = []
    slow = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))
        if scope["raw_path"] == b"/slow":
            await slow.wait()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"k", b"v")]})
        await send({"type": "http.response.body", "body": scope["raw_path"]})

    async with served(app) as worker:
        await worker.send(relayed(1, b"/slow"))
        await worker.send(relayed(2))
        assert await worker.receive() == Answered(2, 201, [(b"k", b"v")], b"/v1/x")
        slow.set()
        assert (await worker.receive()).id == 1
    scope, message = seen[0]
    assert message == {"type": "http.request", "body": b"body", "more_body": False}
    assert scope["client"] == ("10.0.0.1", 5)
    assert scope["extensions"] == {"tls": {"peer_certificate": b"der"}}
    assert (scope["method"], scope["query_string"]) == ("POST", b"a=1")
