"""What a wire between processes promises: a real Redis, and the double that stands for it."""

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio

from control.cluster.pubsub import Channel, PubSub, PubSubError
from control.cluster.redis import RedisPubSub
from tests.support.memory_pubsub import MemoryPubSub
from tests.support.redis_server import Redis, redis

PATIENCE = 60.0
# A client that could not connect leaves streams of its own unclosed (coredis 6.9).
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What was there before is not looked through, which takes 0.4 s a test in a whole run."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """While these warnings are let pass."""
    yield
    gc.collect()


class Both:
    """A wire, and the server behind it."""

    def __init__(self, wire: PubSub, server: Redis | None) -> None:
        self.wire = wire
        self._server = server

    async def kill(self) -> None:
        """End the server."""
        if self._server is not None:
            await trio.to_thread.run_sync(self._server.kill)
        else:
            assert isinstance(self.wire, MemoryPubSub)
            self.wire.disconnect()

    async def start(self) -> None:
        """Have it back."""
        if self._server is not None:
            await trio.to_thread.run_sync(self._server.start)
        else:
            assert isinstance(self.wire, MemoryPubSub)
            self.wire.is_up = True


@pytest.fixture(scope="module")
def running() -> Iterator[Redis]:
    """One server for this module."""
    with redis() as server:
        yield server


@pytest.fixture(params=["redis", "memory"])
def both(request: pytest.FixtureRequest) -> Both:
    """Each kind."""
    if request.param == "memory":
        return Both(MemoryPubSub(), None)
    server: Redis = request.getfixturevalue("running")
    return Both(RedisPubSub(server.url), server)


async def take(line: Channel, count: int) -> list[bytes]:
    """So many words."""
    with trio.fail_after(PATIENCE):
        return [await line.receive() for _ in range(count)]


async def test_everybody_on_the_channel_hears_everything(both: Both) -> None:
    """Whoever says it hears it too; in the speaker's order; any bytes; nobody elsewhere."""
    words = [bytes([number, 0, 255]) for number in range(50)]
    async with (
        both.wire.open_channel("a") as one,
        both.wire.open_channel("a") as two,
        both.wire.open_channel("b") as else_,
    ):
        await else_.publish(b"elsewhere")
        for word in words:
            await one.publish(word)
        assert await take(one, 50) == words
        assert await take(two, 50) == words
        assert await take(else_, 1) == [b"elsewhere"]


async def test_a_long_word(both: Both) -> None:
    """A batch of events is some ten kilobytes."""
    async with both.wire.open_channel("a") as line:
        await line.publish(b"x" * 300_000)
        assert await take(line, 1) == [b"x" * 300_000]


async def listens(both: Both) -> None:
    """Until it is over."""
    with trio.fail_after(PATIENCE):
        async with both.wire.open_channel("a") as line:
            await both.kill()
            await line.receive()


async def speaks(both: Both) -> None:
    """Into the void."""
    async with both.wire.open_channel("a") as line:
        await both.kill()
        await line.publish(b"is there anybody?")


async def test_the_death_of_the_server_is_told_and_survived(both: Both) -> None:
    """To who listens, to who speaks, to who opens; once it is back, all of it works again."""
    with pytest.raises(PubSubError):
        await listens(both)
    with pytest.raises(PubSubError):
        async with both.wire.open_channel("a"):
            pytest.fail("it is open")
    await both.start()
    with pytest.raises(PubSubError):
        await speaks(both)
    await both.start()
    async with both.wire.open_channel("a") as line:
        await line.publish(b"again")
        assert await take(line, 1) == [b"again"]


async def test_what_fails_inside_is_not_taken_for_the_wire(both: Both) -> None:
    """An error of the one who holds the line stays what it is."""
    met = []
    try:
        async with both.wire.open_channel("a"):
            raise KeyError  # noqa: TRY301
    except* KeyError as group:
        met.append(group)
    assert met


@pytest.mark.parametrize("step", range(12))
async def test_a_line_can_be_cancelled_at_any_moment(both: Both, step: int) -> None:
    """While it is opened too: only `PubSubError` comes out, whatever its connection raises."""
    with trio.move_on_after(step * 0.0005), suppress(PubSubError):
        async with both.wire.open_channel("a") as line:
            await line.receive()


async def test_a_password_is_not_told() -> None:
    """Neither is the address."""
    with pytest.raises(PubSubError) as refused:
        async with RedisPubSub("redis://:hunter2@127.0.0.1:1/0").open_channel("a"):
            pytest.fail("it is open")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_wrong_password_is_told_as_that() -> None:
    """It is no outage: waiting does not mend it. The password is not told."""
    with redis() as server:
        server.kill()
        server.start("--requirepass", "right")
        for url in (server.url, server.url.replace("unix://", "unix://:wrong-one@")):
            with pytest.raises(PubSubError, match="authentication") as caught:
                async with RedisPubSub(url).open_channel("x") as line:
                    await line.receive()
            assert "wrong-one" not in str(caught.value)
