"""vault.workers.relay: a request is answered by a worker or by the leader, and by one of them."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec.structs import replace

from protocols.http.asgi import RESERVATION
from tests.unit.vault.workers.test_desk import WRITTEN
from vault.edge.reply import Headers
from vault.errors import NotFoundError, UnavailableError, VaultError
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.model.results import SecretValue
from vault.workers.carried import told_of
from vault.workers.elsewhere import Elsewhere
from vault.workers.relay import DEADLINE, MOST_BODY, MOST_PARTS, Relay, WorkerApp, _Places
from vault.workers.wire import (
    MOST_RELAYED,
    Answered,
    Asked,
    Lane,
    Relayed,
    Taken,
    ToLeader,
    ToWorker,
)


class FakeEdge:
    """Reads the body; answers by itself or says that it is not for it."""

    def __init__(self) -> None:
        self.elsewhere = False
        self.bodies: list[bytes] = []

    def failure_response(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """As an edge does."""
        assert isinstance(error, UnavailableError)
        outcome = error.details.get("outcome", "none")
        return error.status, [(b"x", b"edge")], path + f" {error.code} {outcome}".encode()

    def overload_response(self, _target: bytes) -> None:
        """Never."""

    def error_response(self, *_: object) -> None:
        """Never."""

    async def refuse_unread(self, *_: object) -> None:
        """Never."""

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        self.bodies.append((await receive())["body"])
        if self.elsewhere:
            raise Elsewhere
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"worker"})


class FakeMemory:
    """Room, or none."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.full = False

    def take_nowait(self, size: int) -> bool:
        """As told."""
        self.asked.append(size)
        return not self.full

    async def take(self, size: int) -> bool:
        """As told."""
        await trio.lowlevel.checkpoint()
        return self.take_nowait(size)


class FakeDoor:
    """Whether the worker serves."""

    def __init__(self) -> None:
        self.open = True

    async def serves(self) -> bool:
        """As told."""
        await trio.lowlevel.checkpoint()
        return self.open


FOUND = SecretValue(secret=WRITTEN.secret, version=WRITTEN.version, value=b'"v"')
FOUND_BARE = told_of(0, FOUND).value


def became(path: str) -> SecretValue | VaultError:
    """What comes of an operation at this path."""
    return NotFoundError("no_secret", "there is none") if path == "secret/none" else FOUND


def operation(path: str) -> Operation:
    """One of several of a request."""
    return Operation(
        type=OperationType("secret.write"),
        path=ResourcePath.parse(path), payload=WriteSecret(value=b"{}", cas=3),
        request_id="r.7", credential="s.token", origin=Origin(ip="10.0.0.1"), part=True,
    )  # fmt: skip


class Stage:
    """A worker's application, and a leader that answers `leader`."""

    def __init__(self, ours: trio.SocketStream, theirs: trio.SocketStream) -> None:
        self.edge, self.door = FakeEdge(), FakeDoor()
        self.lane: Lane[ToWorker] = Lane(ours, ToWorker)  # type: ignore[arg-type]  # a union is no class
        self.leader: Lane[ToLeader] = Lane(theirs, ToLeader)  # type: ignore[arg-type]  # the same
        self.headers: list[tuple[bytes, bytes]] = []
        self.above = ""
        self.relay = Relay(self.lane, lambda: self.above)
        self.app = WorkerApp(self.edge, self.door, self.relay)  # type: ignore[arg-type]  # fakes
        self.relayed: list[Relayed] = []
        self.asked: list[Asked] = []
        self.answers = True
        self.reserved = False  # the leader holds memory for its answers
        self.taken: list[int] = []
        self.memory = FakeMemory()

    async def lead(self) -> None:
        """Answer what is relayed, and asked."""
        while True:
            match await self.leader.receive():
                case Relayed() as request:
                    self.relayed.append(request)
                    if self.answers:
                        headers = [(b"x", b"y")]
                        await self.leader.send(
                            Answered(request.id, 200, headers, b"leader", self.reserved)
                        )
                case Taken() as taken:
                    self.taken.append(taken.id)
                case Asked() as question:
                    self.asked.append(question)
                    if self.answers:
                        found = became(question.path)
                        await self.leader.send(told_of(question.id, found, reserved=self.reserved))

    async def ask(self, method: str, *parts: bytes, path: bytes = b"/v1/sys/x") -> bytes:
        """The body of the answer to one request with a body in these parts."""
        waiting = list(parts or (b"",))
        sent: list[Any] = []

        async def receive() -> Any:
            await trio.lowlevel.checkpoint()
            if not waiting:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        scope = {
            "method": method, "raw_path": path, "query_string": b"", "headers": self.headers,
            "client": ("10.0.0.1", 7), "extensions": {}, RESERVATION: self.memory,
        }  # fmt: skip
        await self.app(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """With its tasks running."""
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    async with ours, theirs, trio.open_nursery() as nursery:
        stage = Stage(ours, theirs)
        for run in (stage.lane.run, stage.relay.run, stage.lead):
            nursery.start_soon(run)
        yield stage
        nursery.cancel_scope.cancel()


async def until(so: Callable[[], bool]) -> None:
    """Wait for what comes through a socket: that all tasks are blocked does not say it is here."""
    with trio.fail_after(10):
        while not so():
            await trio.lowlevel.checkpoint()


async def test_by_whom() -> None:
    """Reads here; writes, and everything while this worker may not answer, by the leader."""
    async with staged() as stage:
        assert await stage.ask("GET") == b"worker"
        assert stage.relayed == []
        assert await stage.ask("POST", b"value") == b"leader"
        stage.door.open = False
        assert await stage.ask("GET") == b"leader"
        assert [request.body for request in stage.relayed] == [b"value", b""]
        assert len(stage.edge.bodies) == 1


async def test_a_large_answer_is_taken_on_our_account() -> None:
    """Then the leader hears so; where there is no room, the client is told to come back."""
    async with staged() as stage:
        assert await stage.ask("POST") == b"leader"
        assert stage.memory.asked == []
        stage.reserved = True
        assert await stage.ask("POST") == b"leader"
        assert stage.memory.asked == [2 * len(b"leader")]
        stage.memory.full = True
        assert b"answers_full none" in await stage.ask("POST")
        with pytest.raises(UnavailableError, match="answers"):
            await stage.relay.run_there(replace(operation("secret/a"), memory=stage.memory))
        await until(lambda: len(stage.taken) > 2)
        assert stage.taken == [2, 3, 4]


async def test_an_answer_that_nobody_waits_for_is_given_back() -> None:
    """Whoever asked has left before it came."""
    async with staged() as stage:
        stage.answers = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.ask, "POST")
            await until(lambda: bool(stage.relayed))
            nursery.cancel_scope.cancel()
        await stage.leader.send(Answered(stage.relayed[0].id, 200, [], b"late", reserved=True))
        await until(lambda: bool(stage.taken))
        assert stage.taken == [stage.relayed[0].id]


async def test_what_turns_out_to_be_the_leaders() -> None:
    """Is relayed whole, with the body that the edge has read already."""
    async with staged() as stage:
        stage.edge.elsewhere = True
        assert await stage.ask("GET", b"a", b"b") == b"leader"
        assert stage.edge.bodies == [b"ab"]
        assert stage.relayed[0].body == b"ab"
        assert stage.relayed[0].client == ("10.0.0.1", 7)


async def test_it_is_decided_once_the_request_is_whole() -> None:
    """Its body may have taken its time: what was so when it began does not count."""
    async with staged() as stage:
        stage.door.open = True
        whole = stage.ask("POST", b"a", b"b", path=b"/v1/secret/data/a")

        async def shut() -> None:
            await trio.lowlevel.checkpoint()
            stage.door.open = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(shut)
            assert await whole == b"leader"
        stage.door.open = True
        assert await stage.ask("POST", b"a", b"b", path=b"/v1/secret/data/a") == b"worker"


async def test_the_leaders_spans_are_below_the_workers() -> None:
    """What is under way takes the place of the caller's header; without one that stays."""
    async with staged() as stage:
        theirs = (b"traceparent", b"theirs")
        stage.headers = [theirs, (b"x", b"y")]
        await stage.ask("POST")
        stage.above = "ours"
        await stage.ask("POST")
    assert [request.headers for request in stage.relayed] == [
        [theirs, (b"x", b"y")],
        [(b"x", b"y"), (b"traceparent", b"ours")],
    ]


async def test_many_at_a_time() -> None:
    """Each gets its own answer."""
    async with staged() as stage, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(stage.ask, "POST", b"x")
    assert sorted(request.id for request in stage.relayed) == list(range(1, 51))


async def test_an_operation_that_is_the_leaders() -> None:
    """Is run by him as it is here, for whoever asked; so is the error that he tells."""
    async with staged() as stage:
        stage.above = "ours"
        assert await stage.relay.run_there(operation("secret/a")) == FOUND_BARE
        with pytest.raises(NotFoundError, match="there is none"):
            await stage.relay.run_there(operation("secret/none"))
    question = stage.asked[0]
    assert (question.name, question.path) == ("secret.write", "secret/a")
    assert msgspec.msgpack.decode(question.payload, type=WriteSecret) == WriteSecret(
        value=b"{}", cas=3
    )
    assert (question.request_id, question.credential, question.above) == ("r.7", "s.token", "ours")
    assert question.origin == Origin(ip="10.0.0.1")


async def test_many_operations_of_one_request_leave_room_for_another() -> None:
    """However many are asked for: a request that is the leader's does not wait behind them."""
    async with staged() as stage, trio.open_nursery() as nursery:
        stage.answers = False
        for _ in range(4 * MOST_RELAYED):
            nursery.start_soon(stage.relay.run_there, operation("secret/a"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(stage.asked) == MOST_PARTS
        stage.answers = True
        with trio.fail_after(5):
            assert await stage.ask("POST") == b"leader"
        nursery.cancel_scope.cancel()


async def test_an_emergency_seal_waits_behind_no_other_request() -> None:
    """However many of the leader's requests are under way."""
    async with staged() as stage, trio.open_nursery() as nursery:
        stage.answers = False
        for _ in range(MOST_RELAYED + 1):
            nursery.start_soon(stage.ask, "POST")
        await until(lambda: len(stage.relayed) == MOST_RELAYED)
        stage.answers = True
        with trio.fail_after(5):
            assert await stage.ask("PUT", path=b"/v1/sys/seal") == b"leader"
        nursery.cancel_scope.cancel()


async def test_a_frame_that_is_no_answer_ends_nothing() -> None:
    """It is passed over: whoever waits for another answer gets that."""
    async with staged() as stage:
        await stage.leader.send("no answer")
        assert await stage.ask("POST", b"x") == b"leader"


async def test_a_body_over_its_bound_is_not_read_to_its_end() -> None:
    """The leader is given enough of it to refuse it."""
    async with staged() as stage:
        await stage.ask("POST", *[b"x" * (1 << 20)] * 9)
        assert len(stage.relayed[0].body) == MOST_BODY


async def test_a_client_that_leaves() -> None:
    """Its request is not whole: the leader puts that on record."""
    async with staged() as stage:

        async def receive() -> Any:
            await trio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            await trio.lowlevel.checkpoint()

        scope = {"method": "POST", "raw_path": b"/v1/x/y", "query_string": b"", "headers": []}
        await stage.app(scope, receive, send)
        assert [request.body for request in stage.relayed] == [None]


async def test_a_session_is_read_in_one_place() -> None:
    """A cookie's request is the leader's where browsers come; else nobody looks at cookies."""
    async with staged() as stage:
        stage.headers = [(b"accept", b"*/*"), (b"cookie", b"a=b")]
        assert await stage.ask("GET") == b"worker"
        stage.app = WorkerApp(stage.edge, stage.door, stage.relay, browsers=True)  # type: ignore[arg-type]  # fakes
        assert await stage.ask("GET") == b"leader"
        stage.headers = []
        assert await stage.ask("GET") == b"worker"


async def test_a_leader_that_is_late(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever waits for it, or for a place with it, hears so from the edge, each in its words.

    Places are given back.
    """
    async with staged() as stage, trio.open_nursery() as nursery:
        stage.relay._places = _Places(1)
        answers: list[bytes] = []
        stage.answers = False

        async def ask() -> None:
            answers.append(await stage.ask("POST"))

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        with trio.fail_after(2 * DEADLINE):
            while len(answers) < 2:  # noqa: ASYNC110  # on a clock that jumps
                await trio.sleep(1)
        assert sorted(answers) == [b"/v1/sys/x no_answer unknown", b"/v1/sys/x overloaded none"]
        assert trio.current_time() >= DEADLINE
        with pytest.raises(UnavailableError) as caught:
            await stage.relay.run_there(operation("secret/a"))
        assert (caught.value.code, caught.value.details) == ("no_answer", {"outcome": "unknown"})
        stage.answers = True
        assert await stage.ask("POST") == b"leader"
