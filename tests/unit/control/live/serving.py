"""A feed over a real websocket, and a client for it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import trio
import trio_websocket as ws

from control.authn.session_opener import SessionRequest
from control.core import Core
from control.live.endpoint import LIVE_PATH, LiveEndpoint
from control.model.people import TokenKind
from protocols.http.session_key import parts_of
from tests.unit.control.conftest import PASSWORD

PATIENCE = 60.0


class Talk:
    """One open feed."""

    def __init__(self, socket: ws.WebSocketConnection) -> None:
        self.socket = socket

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

    core: Core
    door: LiveEndpoint
    port: int

    @property
    def own(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def session(self, name: str = "ann") -> str:
        """A new one of this user of `acme`: cookie and session key."""
        return (
            await self.core.people.accounts.login(
                "acme", name, PASSWORD, SessionRequest(TokenKind.BROWSER)
            )
        )[0]

    def cookie(self, session: str) -> str:
        """The header."""
        return f"freehold-session-{self.port}={parts_of(session)[0]}"

    @asynccontextmanager
    async def open(self, session: str = "") -> AsyncIterator[Talk]:
        """A feed from a page of ours."""
        session = session or await self.session()
        headers = [("Cookie", self.cookie(session)), ("Origin", self.own)]
        async with (
            await trio.open_tcp_stream("127.0.0.1", self.port) as stream,
            trio.open_nursery() as nursery,
        ):
            socket = await ws.wrap_client_stream(
                nursery, stream, f"127.0.0.1:{self.port}", LIVE_PATH, extra_headers=headers,
                subprotocols=["freehold.live", f"freehold.session-key.{parts_of(session)[1]}"],
            )  # fmt: skip
            assert socket.subprotocol == "freehold.live"
            yield Talk(socket)
            with trio.move_on_after(1):
                await socket.aclose()
            nursery.cancel_scope.cancel()

    async def refusal(
        self, session: str | None = None, origin: str | None = "own", path: str = LIVE_PATH
    ) -> tuple[int, str]:
        """Status and code with which an offer is answered.

        `session`: cookie and session key, one of which may be missing.
        """
        session = await self.session() if session is None else session
        key = parts_of(session)[1]
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Cookie: {self.cookie(session)}",
        ]
        if key:
            offered = f"freehold.live, freehold.session-key.{key}"
            lines.append(f"Sec-WebSocket-Protocol: {offered}")
        if origin is not None:
            lines.append(f"Origin: {self.own if origin == 'own' else origin}")
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode())
            answer = b""
            with trio.fail_after(PATIENCE):
                async for piece in stream:
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)["code"]
