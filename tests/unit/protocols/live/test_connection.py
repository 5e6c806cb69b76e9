"""A live feed over its websocket: hears, tells, ends."""

import json
from typing import Any

import trio

from protocols.http.errors import SocketClosedError
from protocols.live.collection import LiveCollection
from protocols.live.connection import CLOSE_SESSION_ENDED, FeedConnection, close_websocket
from protocols.live.limits import HEARTBEAT_SECONDS, LiveLimits
from protocols.live.requests import UnwatchRequest, WatchRequest


class Wire:
    """A browser's end: what it says, and what it was told."""

    def __init__(self) -> None:
        self.says, self._hears = trio.open_memory_channel[dict[str, Any]](100)
        self.told: list[dict[str, Any]] = []
        self.over = trio.Event()
        self.gone = False

    async def receive(self) -> dict[str, Any]:
        """ASGI's."""
        return await self._hears.receive()

    async def send(self, message: Any) -> None:
        """ASGI's."""
        await trio.lowlevel.checkpoint()
        if self.gone:
            raise SocketClosedError("the websocket is closed")
        self.told.append(dict(message))
        if message["type"] == "websocket.close":
            await self.says.send({"type": "websocket.disconnect"})

    async def wait_over(self) -> tuple[int, str]:
        """Until the test ends the session."""
        await self.over.wait()
        return CLOSE_SESSION_ENDED, "over"


async def run(wire: Wire, *texts: str | bytes, bounds: LiveLimits = LiveLimits()) -> list[object]:  # noqa: B008  # frozen
    """A talk in which the browser says this and then goes; what it asked for."""
    asked: list[object] = []
    talk = FeedConnection(bounds, trio.current_time)

    async def do(request: WatchRequest | UnwatchRequest) -> None:
        asked.append(request)
        if isinstance(request, WatchRequest):
            rows = LiveCollection()
            rows.replace_rows({"k": {"a": 1}})
            talk.feed.add_watch(request.watch, rows)

    for text in texts:
        kind = "text" if isinstance(text, str) else "bytes"
        await wire.says.send({"type": "websocket.receive", kind: text})
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.run, wire.receive, wire.send, do, wire.wait_over)
            await trio.testing.wait_all_tasks_blocked()
            await wire.says.send({"type": "websocket.disconnect"})
    return asked


def codes(wire: Wire) -> list[int]:
    """What it was closed with."""
    return [message["code"] for message in wire.told if message["type"] == "websocket.close"]


async def test_what_is_asked_is_done_and_told() -> None:
    """In order; it ends when the browser has gone."""
    wire = Wire()
    asked = await run(wire, '{"watch": 1, "topic": "t"}', '{"unwatch": 2}')
    assert asked == [WatchRequest(watch=1, topic="t"), UnwatchRequest(unwatch=2)]
    assert [json.loads(message["text"]) for message in wire.told] == [
        {"id": 1, "seq": 1, "snapshot": {"k": {"a": 1}}}
    ]


async def test_the_form_is_kept() -> None:
    """1003 for bytes, 1008 for what is no request, and for too many of them."""
    for said, code in (((b"x",), 1003), (("x",), 1008), (('{"unwatch": 1}',) * 3, 1008)):
        wire = Wire()
        await run(wire, *said, bounds=LiveLimits(burst=2, rate=0.0))
        assert codes(wire) == [code]


async def test_the_end_of_the_session_closes_it() -> None:
    """With the code that its owner gives."""
    wire = Wire()
    wire.over.set()
    await run(wire)
    assert codes(wire) == [CLOSE_SESSION_ENDED]


async def test_a_browser_that_has_gone_is_no_fault() -> None:
    """Neither while it is told something nor at the close."""
    wire = Wire()
    wire.gone = True
    await run(wire, '{"watch": 1, "topic": "t"}')
    await close_websocket(wire.send, 1000, "")
    assert wire.told == []


async def test_a_browser_with_nothing_to_be_told_gets_heartbeats(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """At least one message each interval, so that silence means that the server is gone."""
    wire = Wire()
    talk = FeedConnection(LiveLimits(), trio.current_time)

    async def do(request: WatchRequest | UnwatchRequest) -> None:
        raise AssertionError("nothing was asked")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk.run, wire.receive, wire.send, do, wire.wait_over)
        await trio.sleep(3.5 * HEARTBEAT_SECONDS)
        nursery.cancel_scope.cancel()
    assert [json.loads(message["text"]) for message in wire.told] == 3 * [{"heartbeat": 5}]
