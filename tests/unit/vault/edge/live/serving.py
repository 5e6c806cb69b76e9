"""A door over a real websocket, before a gate that knows one guest."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio
import trio_websocket as ws

from vault.authn.stream_registry import StreamRegistry
from vault.authn.stream_subscriber import StreamSubscriber
from vault.edge.live.endpoint import PATH
from vault.errors import AuthenticationError, AuthorizationError, UnavailableError, VaultError
from vault.model.identity import Identity, Method
from vault.model.live_topics import TopicRows, TopicWatch
from vault.model.operation import Operation
from vault.model.payloads import MalformedRequest

PATIENCE = 60.0
COOKIE, KEY = "one", "key"
WHO = Identity(id="i", name="ada", method=Method.TOKEN, credential="acc")


class FakeGuest(StreamSubscriber):
    """Ada, as long as she stands."""

    def __init__(self, streams: StreamRegistry) -> None:
        self.identity = WHO
        self.streams = streams
        self.stands = True

    def register_stream(self) -> AbstractContextManager[trio.CancelScope]:
        """Cut by the revocation of her session."""
        return self.streams.open_stream(WHO.credential)

    async def is_still_valid(self) -> bool:
        """As set."""
        return self.stands


class FakeGate:
    """Lets Ada in, shows her `rows`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.streams = StreamRegistry()
        self.guest = FakeGuest(self.streams)
        self.asked: list[Operation] = []
        self.rows: TopicRows = {"now": {"size": 1}}
        self.forbidden: set[str] = set()
        self.is_open = True
        self.turned = trio.Event()
        self.fault: VaultError | None = None

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """As the pipeline would."""
        self.asked.append(op)
        if not self.is_open:
            raise UnavailableError("sealed", "Vault is sealed")
        if op.credential != f"{COOKIE}:{KEY}":
            raise AuthenticationError("unauthenticated", "permission denied")
        if op.name == "session.refuse":
            raise AuthorizationError("csrf", "not from our own pages")
        if isinstance(op.payload, MalformedRequest):
            raise op.payload.error
        if op.name == "live.open":
            return self.guest
        if str(op.path) in self.forbidden:
            raise AuthorizationError("permission_denied", "permission denied")
        return TopicWatch(self.read, lambda: str(op.path) not in self.forbidden)

    async def wait_seal_change(self) -> None:
        """Until the test says so."""
        await self.turned.wait()

    async def read(self) -> TopicRows:
        """As they are."""
        if self.fault is not None:
            raise self.fault
        return {key: dict(row) for key, row in self.rows.items()}


@dataclass
class Talk:
    """One open feed."""

    socket: ws.WebSocketConnection
    seen: list[Any] = field(default_factory=list)

    async def say(self, **request: object) -> None:
        """A request."""
        await self.socket.send_message(json.dumps(request))

    async def next(self) -> Any:
        """The next message. Raises `ws.ConnectionClosed`."""
        with trio.fail_after(PATIENCE):
            return json.loads(await self.socket.get_message())

    async def code(self) -> int:
        """With which code it was closed, whatever comes before."""
        with trio.fail_after(PATIENCE), suppress(ws.ConnectionClosed):
            while True:
                await self.socket.get_message()
        reason = self.socket.closed
        assert reason is not None
        return int(reason.code)


@dataclass
class Site:
    """A served door."""

    gate: FakeGate
    port: int

    @property
    def own(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        """Of Ada's session."""
        return f"freehold-agent-{self.port}={COOKIE}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Talk]:
        """A feed from a page of ours."""
        headers = [("Cookie", self.cookie), ("Origin", self.own)]
        async with (
            await trio.open_tcp_stream("127.0.0.1", self.port) as stream,
            trio.open_nursery() as nursery,
        ):
            socket = await ws.wrap_client_stream(
                nursery, stream, f"127.0.0.1:{self.port}", PATH, extra_headers=headers,
                subprotocols=["freehold.live", f"freehold.session-key.{KEY}"],
            )  # fmt: skip
            assert socket.subprotocol == "freehold.live"
            yield Talk(socket)
            with trio.move_on_after(1):
                await socket.aclose()
            nursery.cancel_scope.cancel()

    async def refusal(
        self,
        cookie: str | None = None,
        origin: str | None = "own",
        path: str = PATH,
        site: str | None = None,
        key: str = KEY,
    ) -> tuple[int, str]:
        """Status and code with which an offer is answered. `site`: its `Sec-Fetch-Site`."""
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Cookie: {self.cookie if cookie is None else cookie}",
        ]
        if key:
            lines.append(f"Sec-WebSocket-Protocol: freehold.live, freehold.session-key.{key}")
        if origin is not None:
            lines.append(f"Origin: {self.own if origin == 'own' else origin}")
        if site is not None:
            lines.append(f"Sec-Fetch-Site: {site}")
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode())
            answer = b""
            with trio.fail_after(PATIENCE):
                async for piece in stream:
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)["code"]
