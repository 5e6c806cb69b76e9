"""Answers that nobody reads are bounded, and those go first that are furthest behind."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.asgi import App, Receive, Scope, Send
from protocols.http.coarse_clock import CoarseClock
from protocols.http.h2_connection import H2Connection
from protocols.http.h2_machine import CANCEL
from protocols.http.limits import MIB, Limits
from protocols.http.response_budget import (
    FAIR_READ_RATE,
    LATE,
    MAX_LEAD_SECONDS,
    WRITE_OVERHEAD,
    PendingWrite,
    ResponseBudget,
)
from protocols.http.server import ServerHandle, serve

Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ONE = 1_000_000 - WRITE_OVERHEAD  # with what it costs beside, a million


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
def pulse() -> CoarseClock:
    """Time that stands still unless a test moves it."""
    made = CoarseClock.__new__(CoarseClock)
    made.now, made.tick = 0.0, 1.0
    return made


def test_who_reads_slowly_goes_before_who_reads_well(pulse: CoarseClock) -> None:
    """It counts how far behind a decent reader one is, not who came first or took something."""
    answers, cut = ResponseBudget(Limits(answers_bytes=3_500_000), pulse), list[str]()
    well = answers.track_write(ONE, never)
    pulse.now = 1.0
    answers.track_write(ONE, lambda: cut.append("trickles")).note_progress(1)
    pulse.now = 8.0
    well.note_progress(8 * FAIR_READ_RATE)
    answers.track_write(ONE, never)
    assert (answers.held, cut) == (3_000_000, [])
    answers.track_write(ONE, never)
    assert (answers.held, cut, answers.disconnected) == (3_000_000, ["trickles"], 1)


def test_nobody_lives_long_on_what_he_took(pulse: CoarseClock) -> None:
    """Who took much and then stopped is behind whoever comes after `LEAD`."""
    answers, cut = ResponseBudget(Limits(answers_bytes=2_500_000), pulse), list[str]()
    answers.track_write(ONE, lambda: cut.append("stopped")).note_progress(1_000 * FAIR_READ_RATE)
    pulse.now = MAX_LEAD_SECONDS + 1
    answers.track_write(ONE, never)
    answers.track_write(ONE, never)
    assert cut == ["stopped"]


def test_a_reader_stays_ahead_from_one_wait_to_the_next(pulse: CoarseClock) -> None:
    """What he took counts on, also between waits; the time between them is no debt."""
    answers = ResponseBudget(Limits(), pulse)
    reader = answers.track_write(ONE, never)
    reader.note_progress(5 * FAIR_READ_RATE)
    reader.finish()
    reader.note_progress(FAIR_READ_RATE)
    pulse.now = 2.0
    reader.restart(2 * ONE)
    assert (reader.due, answers.held) == (6.0, 2 * ONE + WRITE_OVERHEAD)
    pulse.now = 3_600.0
    reader.restart(ONE)
    assert (reader.due, answers.held) == (6.0, ONE + WRITE_OVERHEAD)
    reader.finish()
    reader.restart(ONE)
    assert reader.due == 3_600.0


def test_nobody_is_cut_while_nobody_is_late(pulse: CoarseClock) -> None:
    """All ask at once: beyond an eighth over the limit, no sooner, some of them have to go."""
    answers, cut = ResponseBudget(Limits(answers_bytes=8_000_000), pulse), list[int]()
    for who in range(9):
        assert answers.is_nearly_full is (who > 7)
        answers.track_write(ONE, lambda who=who: cut.append(who))  # type: ignore[misc]
        pulse.now += 1
        answers.tick()
    assert (answers.held, cut) == (9_000_000, [])
    answers.track_write(ONE, never)
    assert (answers.held, cut) == (8_000_000, [0, 1])


def test_who_is_late_is_cut_when_it_is_full(pulse: CoarseClock) -> None:
    """Until a quarter is free; not while there is room, and nobody else."""
    answers, cut = ResponseBudget(Limits(answers_bytes=8_000_000), pulse), list[int]()
    waits = [answers.track_write(ONE, lambda who=who: cut.append(who)) for who in range(7)]  # type: ignore[misc]
    pulse.now = LATE + 1
    answers.tick()
    assert (answers.is_nearly_full, cut) == (False, [])
    waits[0].note_progress(2 * FAIR_READ_RATE)
    last = answers.track_write(ONE, never)
    answers.tick()
    assert (answers.held, cut) == (6_000_000, [1, 2])
    for unread in waits[3:]:
        unread.note_progress(2 * FAIR_READ_RATE)
    last.charge_memory(3_500_000)
    answers.tick()
    assert answers.is_nearly_full
    assert cut == [1, 2]


def test_one_that_needs_nearly_all_takes_nobody_with_it(pulse: CoarseClock) -> None:
    """It is cut itself, and so is one that grows to that."""
    answers, cut = ResponseBudget(Limits(answers_bytes=4_000_000), pulse), list[str]()
    answers.track_write(ONE, never)
    answers.track_write(3_600_000, lambda: cut.append("large"))
    grows = answers.track_write(ONE, lambda: cut.append("grows"))
    grows.charge_memory(3_700_000)
    assert (answers.held, cut) == (1_000_000, ["large", "grows"])
    grows.charge_memory(1)
    grows.finish()
    assert answers.held == 1_000_000


def test_small_ones_cost_what_a_wait_costs(pulse: CoarseClock) -> None:
    """Many waits without much to say are bounded as well."""
    answers = ResponseBudget(Limits(answers_bytes=100 * WRITE_OVERHEAD), pulse)
    cut = 0

    def count() -> None:
        nonlocal cut
        cut += 1

    for _ in range(1_000):
        answers.track_write(1, count)
        assert answers.held <= 113 * WRITE_OVERHEAD
    assert cut == answers.disconnected >= 888


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2_000_000))))
def test_nothing_is_lost_or_made_up(steps: list[tuple[int, int]]) -> None:
    """Whatever begins, grows, shrinks, ends and is cut: in the end nothing is held."""
    time = CoarseClock.__new__(CoarseClock)
    time.now = 0.0
    answers = ResponseBudget(Limits(answers_bytes=5_000_000), time)
    waits: dict[int, PendingWrite] = {}
    for who, size in steps:
        if who in waits and size % 3:
            waits[who].charge_memory(size)
        elif who in waits:
            waits.pop(who).finish()
        else:
            waits[who] = answers.track_write(size, lambda: None)
        assert 0 <= answers.held <= 5_625_000
    for unread in waits.values():
        unread.finish()
    assert answers.held == 0


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
    answers = handle._state.response_budget
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
    assert answers.disconnected == 5
    events = [record.__dict__ for record in caplog.records if "event" in record.__dict__]
    said = [event["facts"] for event in events if event["event"] == "answers_full"]
    assert sum(facts["cut"] for facts in said) == 5
    for one in (*idle, stream):
        await trio.aclose_forcefully(one)


async def test_streams_that_do_not_read_are_bounded(
    wired: Wired, h2_client: Callable[[Any], Any], clock: Clock
) -> None:
    """HTTP/2 without a window: some are reset, and the others can still be read."""
    limit = 10_500_000
    client = h2_client(await wired(big(2_000_000), H2Connection, answers_bytes=limit))
    client.engine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    await client.flush()
    answers = client.wire.connection.state.response_budget
    for _ in range(10):
        client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert 0 < answers.held <= limit
    assert answers.disconnected == 5
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
    queued, in_flight = connection.machine.queued_bytes, connection._in_flight
    assert queued > 600_000
    assert connection.state.response_budget.held == 2 * in_flight + queued + WRITE_OVERHEAD
    await client.until(lambda: all(answer.whole for answer in client.answers.values()))
    assert connection.state.response_budget.held == 0
