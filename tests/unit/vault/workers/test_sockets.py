"""vault.workers.sockets: a websocket that one process has and another serves."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from protocols.http.errors import SocketClosedError
from vault.workers.sockets import FromLeader, FromWorker, SocketDesk, SocketRelay
from vault.workers.wire import Lane, LaneClosed

SCOPE = {"type": "websocket", "path": "/live", "headers": [(b"a", b"b")], "client": ("::1", 7)}
App = Callable[[Any, Any, Any], Awaitable[None]]


class Browser:
    """What a server gives to an application: messages in, messages out, and a window that fills."""

    def __init__(self, *messages: str) -> None:
        self.said = [{"type": "websocket.receive", "text": text} for text in messages]
        self.heard: list[Any] = []
        self.full = trio.Event()
        self.full.set()
        self.gone = False

    async def receive(self) -> Any:
        """The next one, or a wait for ever."""
        await trio.lowlevel.checkpoint()
        if not self.said:
            await trio.sleep_forever()
        return self.said.pop(0)

    async def send(self, message: Any) -> None:
        """Once there is room."""
        await self.full.wait()
        if self.gone:
            raise SocketClosedError("gone")
        self.heard.append(message)


@asynccontextmanager
async def served(app: App) -> AsyncIterator[SocketRelay]:
    """A worker whose leader serves `app`."""
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    lane: Lane[FromLeader] = Lane(ours, FromLeader)  # type: ignore[arg-type]  # a union is no class
    leader: Lane[FromWorker] = Lane(theirs, FromWorker)  # type: ignore[arg-type]  # the same
    relay = SocketRelay(lane)

    async def work(run: Callable[[], Awaitable[None]]) -> None:
        with suppress(LaneClosed):
            await run()

    async with ours, theirs, trio.open_nursery() as nursery:
        for run in (lane.run, relay.run, SocketDesk(leader, app).run):
            nursery.start_soon(work, run)
        yield relay
        nursery.cancel_scope.cancel()


async def test_a_slow_browser_holds_up_its_own_feed_alone(autojump_clock: object) -> None:
    """The application waits in `send`: nothing is gathered on the way; another is served."""
    sent = []

    async def pour(_scope: Any, _receive: Any, send: Any) -> None:
        for number in range(100):
            await send({"type": "websocket.send", "text": str(number)})
            sent.append(number)

    slow, quick = Browser(), Browser()
    slow.full = trio.Event()
    async with served(pour) as relay, trio.open_nursery() as nursery:
        nursery.start_soon(relay, SCOPE, slow.receive, slow.send)
        await relay(SCOPE, quick.receive, quick.send)
        assert (len(sent), len(quick.heard), slow.heard) == (100, 100, [])
        slow.full.set()


async def test_what_is_sent_to_nobody_says_so() -> None:
    """The leader's application hears that the websocket is closed, as it would here."""
    heard = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        try:
            await send({"type": "websocket.send", "text": "x"})
        except SocketClosedError as error:
            heard.append(error)
            raise

    browser = Browser()
    browser.gone = True
    async with served(app) as relay:
        await relay(SCOPE, browser.receive, browser.send)
    assert len(heard) == 1


async def test_a_fault_of_the_application_is_the_servers_to_tell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logged by its place, never by its text; the next websocket is served."""

    async def fail(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError("a secret")

    browser = Browser()
    async with served(fail) as relay:
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await relay(SCOPE, browser.receive, browser.send)
    assert "a websocket failed" in caplog.text
    assert "a secret" not in caplog.text
