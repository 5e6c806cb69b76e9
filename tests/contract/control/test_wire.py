"""What a wire between processes promises: a real Redis, and the double that stands for it."""

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio

from control.relay.memory import MemoryWire
from control.relay.redis import RedisWire
from control.relay.wire import Line, Wire, WireError
from tests.contract.control.redis import Redis, redis

PATIENCE = 20.0
# A client that could not connect leaves streams of its own unclosed (coredis 6.9).
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """While these warnings are let pass."""
    yield
    gc.collect()


class Both:
    """A wire, and the server behind it."""

    def __init__(self, wire: Wire, server: Redis | None) -> None:
        self.wire = wire
        self._server = server

    async def kill(self) -> None:
        """End the server."""
        if self._server is not None:
            await trio.to_thread.run_sync(self._server.kill)
        else:
            assert isinstance(self.wire, MemoryWire)
            self.wire.cut()

    async def start(self) -> None:
        """Have it back."""
        if self._server is not None:
            await trio.to_thread.run_sync(self._server.start)
        else:
            assert isinstance(self.wire, MemoryWire)
            self.wire.up = True


@pytest.fixture(scope="module")
def running() -> Iterator[Redis]:
    """One server for this module."""
    with redis() as server:
        yield server


@pytest.fixture(params=["redis", "memory"])
def both(request: pytest.FixtureRequest) -> Both:
    """Each kind."""
    if request.param == "memory":
        return Both(MemoryWire(), None)
    server: Redis = request.getfixturevalue("running")
    return Both(RedisWire(server.url), server)


async def take(line: Line, count: int) -> list[bytes]:
    """So many words."""
    with trio.fail_after(PATIENCE):
        return [await line.hear() for _ in range(count)]


async def test_everybody_on_the_channel_hears_everything(both: Both) -> None:
    """Whoever says it hears it too; in the speaker's order; any bytes; nobody elsewhere."""
    words = [bytes([number, 0, 255]) for number in range(50)]
    async with both.wire.open("a") as one, both.wire.open("a") as two, both.wire.open("b") as else_:
        await else_.say(b"elsewhere")
        for word in words:
            await one.say(word)
        assert await take(one, 50) == words
        assert await take(two, 50) == words
        assert await take(else_, 1) == [b"elsewhere"]


async def test_a_long_word(both: Both) -> None:
    """A batch of events is some ten kilobytes."""
    async with both.wire.open("a") as line:
        await line.say(b"x" * 300_000)
        assert await take(line, 1) == [b"x" * 300_000]


async def listens(both: Both) -> None:
    """Until it is over."""
    with trio.fail_after(PATIENCE):
        async with both.wire.open("a") as line:
            await both.kill()
            await line.hear()


async def speaks(both: Both) -> None:
    """Into the void."""
    async with both.wire.open("a") as line:
        await both.kill()
        await line.say(b"is there anybody?")


async def test_the_death_of_the_server_is_told_and_survived(both: Both) -> None:
    """To who listens, to who speaks, to who opens; once it is back, all of it works again."""
    with pytest.raises(WireError):
        await listens(both)
    with pytest.raises(WireError):
        async with both.wire.open("a"):
            pytest.fail("it is open")
    await both.start()
    with pytest.raises(WireError):
        await speaks(both)
    await both.start()
    async with both.wire.open("a") as line:
        await line.say(b"again")
        assert await take(line, 1) == [b"again"]


async def test_what_fails_inside_is_not_taken_for_the_wire(both: Both) -> None:
    """An error of the one who holds the line stays what it is."""
    met = []
    try:
        async with both.wire.open("a"):
            raise KeyError  # noqa: TRY301
    except* KeyError as group:
        met.append(group)
    assert met


@pytest.mark.parametrize("step", range(12))
async def test_a_line_can_be_cancelled_at_any_moment(both: Both, step: int) -> None:
    """While it is opened too: nothing but `WireError` comes out, whatever its connection raises."""
    with trio.move_on_after(step * 0.0005), suppress(WireError):
        async with both.wire.open("a") as line:
            await line.hear()


async def test_a_password_is_not_told() -> None:
    """Neither is the address."""
    with pytest.raises(WireError) as refused:
        async with RedisWire("redis://:hunter2@127.0.0.1:1/0").open("a"):
            pytest.fail("it is open")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_wrong_password_is_told_as_that() -> None:
    """It is no outage: waiting does not mend it. The password is not told."""
    with redis() as server:
        server.kill()
        server.start("--requirepass", "right")
        for url in (server.url, server.url.replace("unix://", "unix://:wrong-one@")):
            with pytest.raises(WireError, match="authentication") as caught:
                async with RedisWire(url).open("x") as line:
                    await line.hear()
            assert "wrong-one" not in str(caught.value)
