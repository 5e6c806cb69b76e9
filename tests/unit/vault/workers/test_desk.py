"""vault.workers.desk: what the leader answers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from protocols.http import Limits
from protocols.http.asgi import RESERVATION
from protocols.http.coarse_clock import CoarseClock
from protocols.http.response_budget import ResponseBudget
from vault.audit.broker import AuditBroker
from vault.audit.writer import audit_unavailable
from vault.authz.policy import Policy
from vault.edge.reply import Headers
from vault.workers.desk import App, AuditDesk, RelayDesk
from vault.workers.wire import (
    MOST,
    MOST_RELAYED,
    Answered,
    Drafted,
    Lane,
    Open,
    Recorded,
    Relayed,
    Taken,
    ToLeader,
)


class FakeBroker:
    """Keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.full = False
        self.failing = False

    def is_on_reserve(self) -> bool:
        """Whether the disk is full."""
        return self.full

    async def record_batch(self, drafts: list[Any]) -> None:
        """Keep their bodies."""
        await trio.lowlevel.checkpoint()
        if self.failing:
            raise audit_unavailable()
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


async def recorded(broker: FakeBroker | None, drafts: list[Drafted]) -> Recorded:
    """What an audit desk answers to one frame."""
    async with ends() as (one, two), trio.open_nursery() as nursery:
        given: AuditBroker | None = broker  # type: ignore[assignment]  # as much as it asks for
        nursery.start_soon(AuditDesk(Lane(one, list[Drafted]), lambda: given).run)
        worker: Lane[Recorded] = Lane(two, Recorded)
        await worker.send(drafts)
        answer = await worker.receive()
        nursery.cancel_scope.cancel()
    return answer


NEW = Drafted(1, b"new", begins=True)
END = Drafted(2, b"end", begins=False)


async def test_a_full_disk_stops_what_is_new() -> None:
    """The rest is recorded; a frame of nothing else records nothing."""
    broker = FakeBroker()
    broker.full = True
    assert await recorded(broker, [NEW, END, NEW]) == Recorded("", (0, 2))
    assert broker.bodies == [b"end"]
    assert await recorded(broker, [NEW]) == Recorded("", (0,))


async def test_not_recorded() -> None:
    """The worker hears why, also while the vault is sealed."""
    broker = FakeBroker()
    broker.failing = True
    assert (await recorded(broker, [NEW])).error
    assert (await recorded(None, [NEW])).error


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

    def failure_response(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """What failed, and where."""
        return getattr(error, "status", 500), [(b"k", b"v")], repr(error).encode() + path


@asynccontextmanager
async def served(app: App, answers: ResponseBudget | None = None) -> AsyncIterator[Lane[Any]]:
    """A worker's end of a lane at whose other one `app` answers."""
    async with ends() as (one, two), trio.open_nursery() as nursery:
        shape: Any = ToLeader
        answers = answers or ResponseBudget(Limits(), CoarseClock(Limits(), None))
        nursery.start_soon(RelayDesk(Lane(one, shape), FakeEdge(app), answers).run)
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
            with trio.fail_after(30):
                failed = await worker.receive()
            assert (failed.id, failed.status) == (number, 500)
        await worker.send(relayed(0))
        assert (await worker.receive()).body == b"good"


async def test_an_emergency_seal_has_a_place_of_its_own() -> None:
    """When all others are taken it is answered all the same."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["raw_path"] != b"/v1/sys/seal":
            await trio.sleep_forever()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as worker:
        for number in range(MOST_RELAYED):
            await worker.send(relayed(number))
        await worker.send(relayed(MOST_RELAYED, b"/v1/sys/seal"))
        with trio.fail_after(30):
            assert (await worker.receive()).id == MOST_RELAYED


async def test_memory_of_an_answer_is_held_until_the_worker_has_it() -> None:
    """Then, or when the worker is gone; an answer for which nothing was reserved needs no word."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["raw_path"] == b"/large":
            assert await scope[RESERVATION].take(1_000_000)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        if scope["raw_path"] == b"/bad":
            assert await scope[RESERVATION].take(1_000_000)
            raise ValueError("bad")

    answers = ResponseBudget(Limits(), CoarseClock(Limits(), None))
    async with served(app, answers=answers) as worker:
        for number, path, held in ((1, b"/large", 2_000_000), (2, b"/small", 2_000_000)):
            await worker.send(relayed(number, path))
            assert (await worker.receive()).reserved is (path == b"/large")
            assert answers.held == held
        await worker.send(Taken(1))
        await worker.send(Taken(7))  # of one that nobody knows
        await worker.send(relayed(3, b"/bad"))
        assert (await worker.receive()).reserved is False
        assert answers.held == 0
        await worker.send(relayed(4, b"/large"))
        await worker.receive()
    assert answers.held == 0


def test_no_credential_and_no_value_is_shown() -> None:
    """By whoever prints a message."""
    token, value = [(b"x-vault-token", b"s.token")], b"canary"
    request = Relayed(1, "POST", b"/v1/s/a", b"", token, None, None, value)
    order = Open(
        opening=1,
        root_key=value,
        org="o",
        vault="v",
        node="n",
        ceiling=Policy(name="c", rules=()),
        epoch=1,
        floor=0,
    )
    shown = repr([request, Answered(1, 200, token, value), order])
    assert "s.token" not in shown
    assert "canary" not in shown
