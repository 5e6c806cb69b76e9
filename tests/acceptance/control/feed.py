"""A live feed as a browser has it: over the process's own port, with its session's cookie."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio_websocket as ws

from tests.acceptance.control.browser import Browser

PATIENCE = 60.0


class Feed:
    """What a page makes of it: rows by watch."""

    def __init__(self, socket: ws.WebSocketConnection) -> None:
        self.socket = socket
        self.rows: dict[int, dict[str, Any]] = {}
        self.seq: dict[int, int] = {}
        self.bytes = 0

    async def watch(self, number: int, topic: str, org: str, of: str = "") -> None:
        """Ask for it."""
        about = {"of": of} if of else {}
        await self.socket.send_message(
            json.dumps({"watch": number, "topic": topic, "org": org, **about})
        )

    async def take(self) -> Any:
        """The next message, laid over what there is."""
        text = await self.socket.get_message()
        self.bytes += len(text)
        message = json.loads(text)
        if "heartbeat" in message:
            return message
        number = message["id"]
        if "error" in message:
            return message
        assert message["seq"] == self.seq.get(number, 0) + 1
        self.seq[number] = message["seq"]
        kept = self.rows.setdefault(number, {})
        kept.update(message.get("snapshot", {}))
        for key, columns in message.get("rows", {}).items():
            if columns is None:
                kept.pop(key, None)
            else:
                kept[key] = {**kept.get(key, {}), **columns}
        return message

    async def until(self, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Take messages until that is so."""
        with trio.fail_after(patience):
            while not holds():
                await self.take()


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator[Feed]:
    """A feed of somebody who is signed in."""
    cookies = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    host = browser.plane.address.removeprefix("http://")
    name, _, port = host.partition(":")
    headers = [("Cookie", cookies), ("Origin", browser.plane.address)]
    async with (
        await trio.open_tcp_stream(name, int(port)) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await ws.wrap_client_stream(
            nursery, stream, host, "/api/v1/live", extra_headers=headers,
            subprotocols=["freehold.live", f"freehold.session-key.{browser.session_key}"],
        )  # fmt: skip
        yield Feed(socket)
        with trio.move_on_after(1):
            await socket.aclose()
        nursery.cancel_scope.cancel()
