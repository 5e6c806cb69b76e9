"""Memory is reserved for an answer before it is made; who holds little comes first."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from protocols.http.asgi import RESERVATION, App, Receive, Scope, Send
from protocols.http.coarse_clock import CoarseClock
from protocols.http.h1_connection import H1Connection
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import MIB, Limits
from protocols.http.response_budget import (
    LATE,
    MAX_QUEUED_REQUESTS,
    WAIT,
    ConnectionUsage,
    Reservation,
    ResponseBudget,
)

Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
LIMIT = 64 * MIB
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def nothing() -> None:
    """Being cut off makes nothing happen."""


@pytest.fixture
def answers(clock: Clock) -> ResponseBudget:
    """A budget that holds nothing yet."""
    limits = Limits(answers_bytes=LIMIT)
    pulse = CoarseClock.__new__(CoarseClock)
    pulse.now, pulse.tick = 0.0, 1.0
    return ResponseBudget(limits, pulse)


def fill(answers: ResponseBudget, caller: ConnectionUsage, piece: int = MIB) -> list[Reservation]:
    """Reserve for one connection as much as it may have."""
    made: list[Reservation] = []
    while (one := Reservation(answers, caller)).take_nowait(piece):
        made.append(one)
    return made


def test_a_connection_has_half_and_an_address_three_quarters(answers: ResponseBudget) -> None:
    """Others find room beside whoever takes all that he can."""
    made = [fill(answers, answers.usage_of("10.0.0.1")) for _ in range(50)]
    assert any(made)
    assert LIMIT // 2 <= answers.held <= LIMIT * 3 // 4
    assert Reservation(answers, answers.usage_of("10.0.0.2")).take_nowait(10 * MIB)


def test_one_connection_alone_has_half(answers: ResponseBudget) -> None:
    """With many requests; a single request may have more."""
    caller = answers.usage_of("10.0.0.1")
    made = fill(answers, caller)
    assert answers.held == LIMIT // 2
    for one in made:
        one.release()
        one.release()
    assert (answers.held, caller.held, caller.address.held) == (0, 0, 0)
    assert Reservation(answers, caller).take_nowait(40 * MIB)


async def test_who_holds_least_is_first(answers: ResponseBudget, clock: Clock) -> None:
    """Not who came first: another connection, and before it another address."""
    greedy = answers.usage_of("10.0.0.1")
    made = fill(answers, greedy)
    made += [one for _ in range(20) for one in fill(answers, answers.usage_of("10.0.0.1"))]
    made += [one for _ in range(20) for one in fill(answers, answers.usage_of("10.0.0.3"))]
    order: list[str] = []

    async def take(name: str, caller: ConnectionUsage) -> None:
        assert await Reservation(answers, caller).take(4 * MIB)
        order.append(name)

    async with trio.open_nursery() as nursery:
        for name, caller in (
            ("greedy", greedy),
            ("beside", answers.usage_of("10.0.0.1")),
            ("other", answers.usage_of("10.0.0.2")),
        ):
            nursery.start_soon(take, name, caller)
            await trio.testing.wait_all_tasks_blocked()
        for one in made:
            one.release()
            await trio.testing.wait_all_tasks_blocked()
    assert order == ["other", "beside", "greedy"]


async def test_nobody_overtakes_who_waits(answers: ResponseBudget, clock: Clock) -> None:
    """A newcomer that would fit waits behind a larger one that holds no more than he."""
    made = fill(answers, answers.usage_of("10.0.0.1"))
    filler = Reservation(answers, answers.usage_of("10.0.0.2"))
    assert filler.take_nowait(LIMIT - answers.held - MIB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reservation(answers, answers.usage_of("10.0.0.3")).take, 2 * MIB)
        await trio.testing.wait_all_tasks_blocked()
        late = Reservation(answers, answers.usage_of("10.0.0.4"))
        assert not late.take_nowait(MIB)
        made[0].release()
        assert late.take_nowait(0)
        made[1].release()
    assert late.take_nowait(MIB)


async def test_one_waits_for_so_long(answers: ResponseBudget, clock: Clock) -> None:
    """Then it is refused, which is counted; it holds nothing."""
    fill(answers, answers.usage_of("10.0.0.1"))
    caller = answers.usage_of("10.0.0.2")
    filler = Reservation(answers, caller)
    assert filler.take_nowait(LIMIT - answers.held)
    began, late = trio.current_time(), Reservation(answers, answers.usage_of("10.0.0.3"))
    assert not await late.take(MIB)
    assert trio.current_time() - began == pytest.approx(WAIT)
    assert (late.held, answers.refused) == (0, 1)


async def test_so_many_wait(answers: ResponseBudget, clock: Clock) -> None:
    """Beyond, whoever holds most is refused at once, and not whoever came last."""
    greedy = answers.usage_of("10.0.0.1")
    made = fill(answers, greedy)
    filler = Reservation(answers, answers.usage_of("10.0.0.2"))
    assert filler.take_nowait(LIMIT - answers.held)
    ended: list[bool] = []

    async def take(caller: ConnectionUsage) -> None:
        ended.append(await Reservation(answers, caller).take(1))

    async with trio.open_nursery() as nursery:
        for _ in range(MAX_QUEUED_REQUESTS):
            nursery.start_soon(take, greedy)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(take, answers.usage_of("10.0.0.3"))
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [False]
        for one in (*made, filler):
            one.release()
    assert ended == [False] + [True] * MAX_QUEUED_REQUESTS


async def test_who_does_not_read_makes_room_for_who_waits(
    answers: ResponseBudget, clock: Clock
) -> None:
    """After `LATE`, though the budget is not full."""
    caller = answers.usage_of("10.0.0.1")
    cut: list[int] = []
    for who in range(30):
        answers.track_write(MIB, lambda who=who: cut.append(who), caller)  # type: ignore[misc]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reservation(answers, caller).take, 3 * MIB)
        await trio.testing.wait_all_tasks_blocked()
        answers.tick()
        assert cut == []
        answers._clock.now = LATE + 1
        answers.tick()
    assert cut == [0, 1]  # no more than that


def reserving(size: int, seen: list[int]) -> App:
    """Reserve before answering with so many bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await scope[RESERVATION].take(size)
        seen.append(scope[RESERVATION].held)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size})

    return app


@pytest.mark.parametrize("size", [1, 2_000_000])
async def test_a_reservation_ends_with_the_answer(wired: Wired, clock: Clock, size: int) -> None:
    """HTTP/1.1: while the answer waits for its reader that alone is charged, then nothing."""
    seen: list[int] = []
    wire = await wired(reserving(size, seen))
    answers = wire.connection.state.response_budget
    await wire.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    assert seen == [size]
    assert (size == 1) is (answers.held == 0)
    assert answers.held <= 2.1 * size
    assert len((await wire.answers())[0].body) == size
    await trio.testing.wait_all_tasks_blocked()
    assert answers.held == 0


async def test_a_reset_gives_it_back(
    wired: Wired, h2_client: Callable[[Any], Any], clock: Clock
) -> None:
    """HTTP/2: a stream that was reset; one whose handler waits for room is not in hand."""
    seen: list[int] = []
    client = h2_client(
        await wired(reserving(3_000_000, seen), H2Connection, answers_bytes=4_000_000)
    )
    shared = client.wire.connection.state
    first, second = client.request(), client.request()
    client.engine.update_settings({4: 0})
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert seen == [3_000_000]
    assert shared.admission.in_flight == 0
    client.engine.reset_stream(first)
    client.engine.update_settings({4: 3_000_000})
    client.engine.increment_flow_control_window(2**26)
    assert len((await client.answer(second)).body) == 3_000_000
    await trio.testing.wait_all_tasks_blocked()
    assert shared.response_budget.held == 0
    assert isinstance(client.wire.connection, H2Connection)
    assert not isinstance(client.wire.connection, H1Connection)
