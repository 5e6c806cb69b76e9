"""Answers that nobody reads are bounded, and those go first that are furthest behind."""

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.answers import DECENT, EACH, LATE, LEAD, Answers, Unread
from protocols.http.h2 import CANCEL
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import MIB, Limits
from protocols.http.pulse import Pulse
from protocols.http.readiness import Readiness
from protocols.http.scope import App, Receive, Scope, Send
from protocols.http.server import ServerHandle, serve
from protocols.http.transport import Transport

Pair = tuple[socket.socket, socket.socket]
Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ONE = 1_000_000 - EACH  # with what it costs beside, a million


def never() -> None:
    """Nobody is to be cut."""
    pytest.fail("cut")


def big(size: int) -> App:
    """Answer with so many bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size})

    return app


@pytest.fixture
def pulse() -> Pulse:
    """Time that stands still unless a test moves it."""
    made = Pulse.__new__(Pulse)
    made.now, made.tick = 0.0, 1.0
    return made


def test_who_reads_slowly_goes_before_who_reads_well(pulse: Pulse) -> None:
    """It counts how far behind a decent reader one is, not who came first or took something."""
    answers, cut = Answers(Limits(answers_bytes=3_500_000), pulse), list[str]()
    well = answers.begin(ONE, never)
    pulse.now = 1.0
    answers.begin(ONE, lambda: cut.append("trickles")).took(1)
    pulse.now = 8.0
    well.took(8 * DECENT)
    answers.begin(ONE, never)
    assert (answers.held, cut) == (3_000_000, [])
    answers.begin(ONE, never)
    assert (answers.held, cut, answers.cut) == (3_000_000, ["trickles"], 1)


def test_nobody_lives_long_on_what_he_took(pulse: Pulse) -> None:
    """Who took much and then stopped is behind whoever comes after `LEAD`."""
    answers, cut = Answers(Limits(answers_bytes=2_500_000), pulse), list[str]()
    answers.begin(ONE, lambda: cut.append("stopped")).took(1_000 * DECENT)
    pulse.now = LEAD + 1
    answers.begin(ONE, never)
    answers.begin(ONE, never)
    assert cut == ["stopped"]


def test_a_reader_stays_ahead_from_one_wait_to_the_next(pulse: Pulse) -> None:
    """What he took counts on, also between waits; the time between them is no debt."""
    answers = Answers(Limits(), pulse)
    reader = answers.begin(ONE, never)
    reader.took(5 * DECENT)
    reader.end()
    reader.took(DECENT)
    pulse.now = 2.0
    reader.again(2 * ONE)
    assert (reader.due, answers.held) == (6.0, 2 * ONE + EACH)
    pulse.now = 3_600.0
    reader.again(ONE)
    assert (reader.due, answers.held) == (6.0, ONE + EACH)
    reader.end()
    reader.again(ONE)
    assert reader.due == 3_600.0


def test_nobody_is_cut_while_nobody_is_late(pulse: Pulse) -> None:
    """All ask at once: beyond an eighth over the limit, no sooner, some of them have to go."""
    answers, cut = Answers(Limits(answers_bytes=8_000_000), pulse), list[int]()
    for who in range(9):
        assert answers.full is (who > 7)
        answers.begin(ONE, lambda who=who: cut.append(who))  # type: ignore[misc]
        pulse.now += 1
        answers.tick()
    assert (answers.held, cut) == (9_000_000, [])
    answers.begin(ONE, never)
    assert (answers.held, cut) == (8_000_000, [0, 1])


def test_who_is_late_is_cut_when_it_is_full(pulse: Pulse) -> None:
    """Until a quarter is free; not while there is room, and nobody else."""
    answers, cut = Answers(Limits(answers_bytes=8_000_000), pulse), list[int]()
    waits = [answers.begin(ONE, lambda who=who: cut.append(who)) for who in range(7)]  # type: ignore[misc]
    pulse.now = LATE + 1
    answers.tick()
    assert (answers.full, cut) == (False, [])
    waits[0].took(2 * DECENT)
    last = answers.begin(ONE, never)
    answers.tick()
    assert (answers.held, cut) == (6_000_000, [1, 2])
    for unread in waits[3:]:
        unread.took(2 * DECENT)
    last.hold(3_500_000)
    answers.tick()
    assert answers.full
    assert cut == [1, 2]


def test_one_that_needs_nearly_all_takes_nobody_with_it(pulse: Pulse) -> None:
    """It is cut itself, and so is one that grows to that."""
    answers, cut = Answers(Limits(answers_bytes=4_000_000), pulse), list[str]()
    answers.begin(ONE, never)
    answers.begin(3_600_000, lambda: cut.append("large"))
    grows = answers.begin(ONE, lambda: cut.append("grows"))
    grows.hold(3_700_000)
    assert (answers.held, cut) == (1_000_000, ["large", "grows"])
    grows.hold(1)
    grows.end()
    assert answers.held == 1_000_000


def test_small_ones_cost_what_a_wait_costs(pulse: Pulse) -> None:
    """Many waits without much to say are bounded as well."""
    answers = Answers(Limits(answers_bytes=100 * EACH), pulse)
    cut = 0

    def count() -> None:
        nonlocal cut
        cut += 1

    for _ in range(1_000):
        answers.begin(1, count)
        assert answers.held <= 113 * EACH
    assert cut == answers.cut >= 888


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2_000_000))))
def test_nothing_is_lost_or_made_up(steps: list[tuple[int, int]]) -> None:
    """Whatever begins, grows, shrinks, ends and is cut: in the end nothing is held."""
    time = Pulse.__new__(Pulse)
    time.now = 0.0
    answers = Answers(Limits(answers_bytes=5_000_000), time)
    waits: dict[int, Unread] = {}
    for who, size in steps:
        if who in waits and size % 3:
            waits[who].hold(size)
        elif who in waits:
            waits.pop(who).end()
        else:
            waits[who] = answers.begin(size, lambda: None)
        assert 0 <= answers.held <= 5_625_000
    for unread in waits.values():
        unread.end()
    assert answers.held == 0


async def test_a_reader_is_one_reader_for_all_that_is_sent(
    pair: Pair, pulse: Pulse, readiness: Readiness, nursery: trio.Nursery
) -> None:
    """Once it was waited for all that it takes counts, by whatever send, waiting or not."""
    answers = Answers(Limits(), pulse)
    transport = Transport(pair[0], Limits(), pulse, readiness, answers)
    async with trio.SocketStream(trio.socket.from_stdlib_socket(pair[1])) as client:
        await transport.send(b"x")
        assert transport._unread is None  # a buffer took it, no reader
        for round_ in (1, 2):
            nursery.start_soon(transport.send, b"a" * 500_000)
            await trio.testing.wait_all_tasks_blocked()
            [reader] = answers._waiting
            assert reader.due >= (round_ - 1) * 400_000 / DECENT
            left = 500_000
            while left > 1:
                left -= len(await client.receive_some(left))
            await trio.testing.wait_all_tasks_blocked()
            assert answers.held == 0
        due = reader.due
        await transport.send(b"b" * 6_000)
        assert reader.due == pytest.approx(due + 6_000 / DECENT)
    transport.close()


async def test_connections_that_do_not_read_are_bounded(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """HTTP/1.1: they are cut and counted; whoever reads has its answer whole."""
    size, limit = 8 * MIB, 40 * MIB  # more than the kernel takes; held twice
    limits = Limits(answers_bytes=limit, close_seconds=0.1)
    handle: ServerHandle = await nursery.start(
        lambda task_status: serve(
            big(size), host="127.0.0.1", port=0, tls=None, limits=limits, task_status=task_status
        )
    )
    answers = handle._shared.answers
    idle = []
    with caplog.at_level(logging.WARNING, "freehold.http"):
        for _ in range(6):
            idle.append(await trio.open_tcp_stream("127.0.0.1", handle.port))
            await idle[-1].send_all(GET)
            await trio.sleep(0.02)
            assert answers.held <= limit
        stream = await trio.open_tcp_stream("127.0.0.1", handle.port)
        await stream.send_all(GET)
        got = 0
        async for piece in stream:
            got += len(piece)
        await trio.sleep(0.1)
    assert got > size
    assert answers.cut == 5
    events = [record.__dict__ for record in caplog.records if "event" in record.__dict__]
    said = [event["facts"] for event in events if event["event"] == "answers_full"]
    assert sum(facts["cut"] for facts in said) == 5
    for one in (*idle, stream):
        await trio.aclose_forcefully(one)


async def test_the_server_looks_for_who_is_late(nursery: trio.Nursery) -> None:
    """Though no answer comes that would need the room."""
    limits = Limits(answers_bytes=4_000_000, close_seconds=0.1)
    handle: ServerHandle = await nursery.start(
        lambda task_status: serve(
            big(1), host="127.0.0.1", port=0, tls=None, limits=limits, task_status=task_status
        )
    )
    cut = trio.Event()
    handle._shared.answers.begin(3_000_000, never)
    handle._shared.answers.begin(900_000, cut.set).due -= LATE + 1
    with trio.fail_after(2):
        await cut.wait()


async def test_streams_that_do_not_read_are_bounded(
    wired: Wired, h2_client: Callable[[Any], Any], clock: Clock
) -> None:
    """HTTP/2 without a window: some are reset, and the others can still be read."""
    limit = 10_500_000
    client = h2_client(await wired(big(2_000_000), H2Connection, answers_bytes=limit))
    client.engine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    await client.flush()
    answers = client.wire.connection.shared.answers
    for _ in range(10):
        client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert 0 < answers.held <= limit
    assert answers.cut == 5
    client.engine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 3_000_000})
    client.engine.increment_flow_control_window(2**26)
    await client.until(lambda: all(a.whole or a.reset for a in client.answers.values()))
    assert [a.reset for a in client.answers.values() if not a.whole] == [CANCEL] * 5
    assert [a.body for a in client.answers.values() if a.whole] == [b"x" * 2_000_000] * 5
    assert answers.held == 0


async def test_what_waits_in_frames_counts_too(
    wired: Wired, h2_client: Callable[[Any], Any], clock: Clock
) -> None:
    """HTTP/2 with wide windows: answers that were framed behind a socket that takes nothing."""
    client = h2_client(await wired(big(60_000), H2Connection, output_bytes=10_000_000))
    client.engine.increment_flow_control_window(2**30)
    connection = client.wire.connection
    for _ in range(2):  # once the first ten are here the socket takes no more
        for _ in range(10):
            client.engine.increment_flow_control_window(2**30, client.request())
        await client.flush()
        await trio.testing.wait_all_tasks_blocked()
    queued, in_flight = connection.machine.queued, connection._in_flight
    assert queued > 600_000
    assert connection.shared.answers.held == 2 * in_flight + queued + EACH
    await client.until(lambda: all(answer.whole for answer in client.answers.values()))
    assert connection.shared.answers.held == 0
