"""vault.workers.relay: a request is answered by a worker or by the leader, and by one of them."""

import inspect
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import CodeType
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors.testing import FakeWorld
from protocols.http.asgi import RESERVATION
from tests.support.no_guard import NoGuard
from vault import operations
from vault.authz.ceiling import NO_CEILING
from vault.barrier import Barrier
from vault.config import Settings
from vault.control_link.ports import LinkPorts
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.data_path import DataPath, DataPathParts
from vault.edge.compat.dialect import ENGINES, CompatDialect
from vault.edge.dialect import Dialect
from vault.edge.native.browser_dialect import BrowserNativeDialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.reply import Headers
from vault.edge.router import Route
from vault.errors import UnavailableError
from vault.metrics import Metrics
from vault.model.operation import OperationType
from vault.peers import ALONE
from vault.rotation.rotator import Rotators
from vault.seal.anchor.feed_reader import SecretFeedReader
from vault.seal.bound_keys import PepperedScheme
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.workers.relay import DEADLINE, Relay, WorkerApp, _Places, is_leaders
from vault.workers.wire import (
    MOST_RELAYED,
    Answered,
    Lane,
    Relayed,
    Taken,
    ToLeader,
)


class FakeEdge:
    """Reads the body, and answers."""

    def __init__(self) -> None:
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


class FakeService:
    """Whether the worker serves."""

    def __init__(self) -> None:
        self.is_serving = True


class Stage:
    """A worker's application, and a leader that answers `leader`."""

    def __init__(self, ours: trio.SocketStream, theirs: trio.SocketStream) -> None:
        self.edge, self.service = FakeEdge(), FakeService()
        self.lane: Lane[Answered] = Lane(ours, Answered)
        self.leader: Lane[ToLeader] = Lane(theirs, ToLeader)  # type: ignore[arg-type]  # a union is no class
        self.headers: list[tuple[bytes, bytes]] = []
        self.above = ""
        self.relay = Relay(self.lane, lambda: self.above)
        self.app = WorkerApp(self.edge, self.service, self.relay)  # type: ignore[arg-type]  # fakes
        self.relayed: list[Relayed] = []
        self.answers = True
        self.reserved = False  # the leader holds memory for its answers
        self.taken: list[int] = []
        self.memory = FakeMemory()

    async def lead(self) -> None:
        """Answer what is relayed."""
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
    with trio.fail_after(30):
        while not so():
            await trio.lowlevel.checkpoint()


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
        await until(lambda: len(stage.taken) > 1)
        assert stage.taken == [2, 3]


async def test_an_emergency_seal_waits_behind_no_other_request() -> None:
    """However many of the leader's requests are under way."""
    async with staged() as stage, trio.open_nursery() as nursery:
        stage.answers = False
        for _ in range(MOST_RELAYED + 1):
            nursery.start_soon(stage.ask, "POST")
        await until(lambda: len(stage.relayed) == MOST_RELAYED)
        stage.answers = True
        with trio.fail_after(30):
            assert await stage.ask("PUT", path=b"/v1/sys/seal") == b"leader"
        nursery.cancel_scope.cancel()


async def test_a_client_that_leaves() -> None:
    """Its request is not whole: the leader puts that on record."""
    async with staged() as stage:

        async def receive() -> Any:
            await trio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            await trio.lowlevel.checkpoint()

        scope = {"method": "POST", "raw_path": b"/v1/sys/y", "query_string": b"", "headers": []}
        await stage.app(scope, receive, send)
        assert [request.body for request in stage.relayed] == [None]


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
        stage.answers = True
        assert await stage.ask("POST") == b"leader"


async def test_what_is_not_the_leaders_is_answered_here() -> None:
    """While this process serves; whatever it is then, and what is the leader's at any time."""
    async with staged() as stage:
        assert await stage.ask("POST", path=b"/v1/secret/data/a") == b"worker"
        assert await stage.ask("POST", path=b"/v1/sys/seal") == b"leader"
        stage.service.is_serving = False
        assert await stage.ask("POST", path=b"/v1/secret/data/a") == b"leader"
        assert stage.edge.bodies == [b""]


class Asked(NamedTuple):
    """What the code of a route asks of the vault."""

    operations: set[str]
    service: set[str]


SEAL_ROUTES = {"status", "initialize", "unseal", "reset_unseal", "auto_unseal", "wait_sealed"}
"""What the service of a worker does not have."""


def asked_by(answer: Any, dialect: type[Dialect]) -> Asked:
    """What a route's function names, and all functions of the edge and of its dialect it calls."""
    found, seen, waiting = Asked(set(), set()), set[Any](), [answer]
    while waiting:
        function = inspect.unwrap(waiting.pop())
        if not inspect.isfunction(function) or function in seen:
            continue
        seen.add(function)
        within = inspect.getclosurevars(function).nonlocals.values()
        waiting += [getattr(one, "answer", one) for one in within]
        for code in every_code(function.__code__):
            for name in code.co_names:
                operation = getattr(operations, name, None)
                if isinstance(operation, OperationType):
                    found.operations.add(operation.name)
                if name in SEAL_ROUTES and "service" in code.co_names:
                    found.service.add(name)
                called = function.__globals__.get(name) or getattr(dialect, name, None)
                if str(getattr(called, "__module__", "")).startswith("vault.edge"):
                    waiting.append(called)
    return found


def every_code(code: CodeType) -> Iterator[CodeType]:
    """A function's, and of those that are written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from every_code(constant)


def every_route() -> Iterator[tuple[str, Route, type[Dialect]]]:
    """Each with its path."""
    for dialect in (CompatDialect, NativeDialect, BrowserNativeDialect, OpsDialect):
        for route in dialect.router.routes():
            yield dialect.prefix + route.template, route, dialect
    for routes in ENGINES.values():
        for route in routes.routes():
            yield f"/v1/secret/{route.template}", route, CompatDialect


@pytest.fixture
async def own_operations() -> set[str]:
    """Those that the data path of a worker runs."""
    world = FakeWorld()
    async with open_store(MemoryBackend(), NoGuard(), world) as store:
        keyring = Keyring.create(1, org="o", vault="v")
        path = DataPath(
            DataPathParts(
                settings=Settings.model_validate(
                    {
                        "server": {"port": 8200, "tls": {"enabled": False}},
                        "storage": {"connection_string": "sqlite:////none/vault.db"},
                    }
                ),
                metrics=Metrics(),
                world=world,
                store=store,
                barrier=Barrier(store, keyring, bytes(32), world),
                audit=None,  # type: ignore[arg-type]  # nothing is run
                credential_scheme=PepperedScheme(keyring.pepper),
                link=LinkPorts(),
                ceiling=NO_CEILING,
                peers=ALONE,
                rotators=Rotators(),
                feed=SecretFeedReader(store, DerivedAnchorKeys(keyring)),
                node="node",
                vault=b"v",
                random=bytes,
            )
        )
        return set(path.handlers())


async def test_each_route_is_the_leaders_or_runs_here(own_operations: set[str]) -> None:
    """So no route of a worker asks for an operation, or for a seal, that it does not have."""
    own, leaders = set[str](), set[str]()
    for path, route, dialect in every_route():
        asked = asked_by(route.answer, dialect)
        if is_leaders(path.encode()):
            leaders |= asked.operations
        else:
            own |= asked.operations
            assert not asked.service, path
            assert asked.operations <= own_operations, path
    assert {"secret.read", "secret.write", "token.create", "policy.write", "mount.tune"} <= own
    assert {"sys.seal", "sys.rotate", "audit.query", "policy.replay"} <= leaders


@pytest.mark.parametrize(
    "path",
    [
        "/v1/%73ys/seal", "/%76%31/sys/seal", "//v1/sys/seal", "/v1//sys/seal", "/v1/./sys/seal",
        "/v1/../v1/sys/seal", "/v1/sys%2fseal", "/V1/sys/seal", "/api/v1/system/seal",
        "/api/v1/s%79stem/seal", "/api/%761/system/seal", "/api/v1/./system/seal",
        "/api/v1//system/seal", "/api/v1/audi%74/events", "/api/v1/policies-repla%79",
        "/api/v1/%70olicies-replay", "/health/ready", "/metrics", "*", "",
    ],
)  # fmt: skip
def test_a_path_that_could_be_the_leaders_is(path: str) -> None:
    """However its beginning is spelled."""
    assert is_leaders(path.encode())


@given(
    st.sampled_from(["/v1/sys/seal", "/api/v1/system/seal", "/api/v1/policies-replay"]), st.data()
)
def test_no_escape_leads_around_the_leader(path: str, data: st.DataObject) -> None:
    """Whichever characters are written as escapes: what they mean is the leader's."""
    escaped = data.draw(st.sets(st.integers(0, len(path) - 1)))
    spelled = "".join(f"%{ord(c):02x}" if at in escaped else c for at, c in enumerate(path))
    assert is_leaders(spelled.encode())


@pytest.mark.parametrize(
    "path", ["/v1/secret/data/a", "/api/v1/secrets/some/long/name%20/.c//d", "/v1/system/a"]
)
def test_most_paths_are_not(path: str) -> None:
    """What stands far behind the beginning of a path does not make it the leader's."""
    assert not is_leaders(path.encode())
