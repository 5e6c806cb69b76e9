"""Who waits for an HTTP/2 window is woken when it can send, and only then."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from hyperframe.frame import SettingsFrame

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.h2_connection import H2Connection
from protocols.http.h2_frames import settings_frame, window_frame
from protocols.http.h2_send_waiters import SendWaiters
from tests.unit.protocols.http.test_h2_machine import Pair

CONNECTION = 65_535
"""Bytes: the windows of RFC 9113 section 6.9.2."""


class Answers:
    """Streams of one connection, each with a body that is sent as far as the windows go."""

    def __init__(self, streams: int, window: int) -> None:
        self.pair = Pair()
        self.pair.machine.feed(settings_frame([(4, window)]), 0.0)
        self.numbers = [self.pair.request() for _ in range(streams)]
        self.pair.to_server()
        self.blocked = SendWaiters(self.pair.machine)
        self.woken: list[int] = []
        self.left = dict.fromkeys(self.numbers, 100_000)

    async def send(self, number: int) -> None:
        """All of a body, as a handler does."""
        while self.left[number]:
            self.left[number] -= self.pair.machine.send_data(
                number, b"x" * self.left[number], end=False
            )
            if self.left[number]:
                await self.blocked.wait_sendable(number, self.left[number])
                self.woken.append(number)

    async def open(self, number: int, by: int) -> list[int]:
        """Who is woken by a WINDOW_UPDATE; in order, for Trio has one of its own."""
        self.woken.clear()
        self.pair.machine.feed(window_frame(number, by), 0.0)
        self.blocked.wake_sendable()
        await trio.testing.wait_all_tasks_blocked()
        return sorted(self.woken)


async def begun(answers: Answers, nursery: trio.Nursery) -> None:
    """Each stream has sent what it may."""
    for number in answers.numbers:
        nursery.start_soon(answers.send, number)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_window_of_nobody_wakes_nobody() -> None:
    """The connection's, where the streams' own are empty, however often."""
    answers = Answers(20, window=0)
    async with trio.open_nursery() as nursery:
        await begun(answers, nursery)
        assert await answers.open(0, 1) == []
        nursery.cancel_scope.cancel()


async def test_a_stream_s_window_wakes_that_stream() -> None:
    """And not the others."""
    answers = Answers(20, window=0)
    async with trio.open_nursery() as nursery:
        await begun(answers, nursery)
        assert await answers.open(answers.numbers[7], 10) == [answers.numbers[7]]
        assert answers.left[answers.numbers[7]] == 99_990
        nursery.cancel_scope.cancel()


async def test_as_many_as_the_connection_feeds() -> None:
    """One byte for all wakes one, in the order in which they came to wait; more wakes more."""
    answers = Answers(20, window=1_000_000)
    async with trio.open_nursery() as nursery:
        await begun(answers, nursery)
        first, second, third = answers.numbers[:3]
        assert answers.left[first] == 100_000 - CONNECTION
        assert await answers.open(0, 1) == [first]
        assert await answers.open(0, 100_001) == [second, third]  # the first waits behind them now
        nursery.cancel_scope.cancel()


async def test_nobody_sleeps_beside_an_open_window() -> None:
    """What one leaves of its share is the next one's, once that one is done."""
    answers = Answers(3, window=1_000_000)
    first, second, third = answers.numbers
    async with trio.open_nursery() as nursery:
        await begun(answers, nursery)
        answers.left[first] = 0  # it will find that nobody wants the rest
        answers.woken.clear()
        assert await answers.open(0, 100_000 + 34_465) == [first, second]
        answers.blocked.wake_sendable()
        await trio.testing.wait_all_tasks_blocked()
        assert answers.left[second] == 0
        assert answers.left[third] == 100_000 - 34_465
        nursery.cancel_scope.cancel()


async def test_the_share_of_one_that_was_cut_goes_to_the_next(
    wired: Callable[..., Awaitable[Any]], h2_client: Callable[[Any], Any], clock: object
) -> None:
    """It was woken for it, and its client left before it could send."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100_000})

    client = h2_client(await wired(app, H2Connection))
    client.engine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
    for _ in range(2):
        client.request()
        await client.flush()
        await trio.testing.wait_all_tasks_blocked()
    connection = client.wire.connection
    first, second = connection._streams.values()
    assert (first.client_left, second.client_left, connection.machine.outbound) == (False, False, 0)
    connection.machine.outbound += 1_000
    connection.send_waiters.wake_sendable()
    first.on_client_left(answers=False)
    await trio.testing.wait_all_tasks_blocked()
    assert connection.machine.outbound == 0


@pytest.mark.parametrize("size", [0, 1])
async def test_a_smaller_window_is_no_window(size: int) -> None:
    """RFC 9113 section 6.9.2: SETTINGS can make it negative."""
    answers = Answers(1, window=1_000)
    async with trio.open_nursery() as nursery:
        await begun(answers, nursery)
        shrink = SettingsFrame(0, {SettingCodes.INITIAL_WINDOW_SIZE: size}).serialize()
        answers.pair.machine.feed(shrink, 0.0)
        answers.blocked.wake_sendable()
        await trio.testing.wait_all_tasks_blocked()
        assert answers.woken == []
        nursery.cancel_scope.cancel()
