"""vault.cluster.shared_limits: agents share limits over a Redis that may do what it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import memory_stream_pair

from protocols.instant import SECOND
from tests.support.trio_world import TrioWorld
from vault.authz.rate_limits import TokenBuckets
from vault.cluster.redis import RedisConnection, RedisError, ReplyParser
from vault.cluster.shared_limits import (
    BATCH_SECONDS,
    BATCH_SHARE,
    MAX_AGE,
    MAX_MESSAGES,
    MAX_PENDING,
    MAX_REFUSED,
    PING_INTERVAL,
    PUBLISH_INTERVAL,
    RETRY_PAUSES,
    SharedLimits,
    TrackedBuckets,
)
from vault.crypto.keyring import Keyring
from vault.seal.bound_keys import LimitKeys

KEYS, OTHER_KEYS = (
    LimitKeys(Keyring.create(1, org="org", vault=name)) for name in ("one", "other")
)
BURST = 10
LIMIT = "failures"
SOON = 1.0  # seconds


class MemoryRedis:
    """PING, SUBSCRIBE and PUBLISH for those that connect; tests say what becomes of a message."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.channels: set[bytes] = set()
        self.away = False
        self.mute = False
        self.holds_back = False
        self.connections = 0
        self._subscribed: list[trio.abc.Stream] = []
        self._nursery: trio.Nursery
        self._scopes: list[trio.CancelScope] = []
        self._turn = trio.Lock()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve for the length of the block."""
        async with trio.open_nursery() as self._nursery:
            yield
            self._nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[RedisConnection]:
        """In place of `open_connection`."""
        if self.away:
            raise RedisError("away")
        ours, theirs = memory_stream_pair()
        self.connections += 1
        self._nursery.start_soon(self._serve, theirs)
        async with ours:
            yield RedisConnection(ours)

    async def send(self, *messages: bytes) -> None:
        """To all that have subscribed."""
        for message in messages:
            await self.send_raw(
                b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(message), message)
            )

    async def send_raw(self, data: bytes) -> None:
        """As it is."""
        for stream in list(self._subscribed):
            await self._reply(stream, data)

    def drop_connections(self) -> None:
        """As a Redis that ends."""
        for scope in self._scopes:
            scope.cancel()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        parser = ReplyParser()
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            async for data in stream:
                parser.feed(data)
                while (command := parser.next_reply()) is not None:
                    if not self.mute:
                        await self._answer(stream, command[0])
        if stream in self._subscribed:
            self._subscribed.remove(stream)
        await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.abc.Stream, command: object) -> None:
        match command:
            case [b"PING"]:
                await self._reply(stream, b"+PONG\r\n")
            case [b"SUBSCRIBE", bytes(channel)]:
                self.channels.add(channel)
                self._subscribed.append(stream)
                await self._reply(stream, b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
            case [b"PUBLISH", bytes(channel), bytes(message)]:
                self.channels.add(channel)
                self.messages.append(message)
                await self._reply(stream, b":1\r\n")
                if not self.holds_back:
                    await self.send(message)
            case _:
                raise AssertionError(command)

    async def _reply(self, stream: trio.abc.Stream, data: bytes) -> None:
        async with self._turn:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.send_all(data)


class Agent:
    """The limit of one agent, with its exchange."""

    def __init__(
        self,
        redis: MemoryRedis,
        world: TrioWorld,
        node: str,
        keys: LimitKeys = KEYS,
        *,
        receives: bool = True,
        burst: int = BURST,
    ) -> None:
        self.shared = SharedLimits(keys, node, world, redis.connect, receives=receives)
        self.buckets = TokenBuckets(1, burst)
        self.limit: TrackedBuckets = self.shared.track(
            LIMIT, self.buckets, burst, lambda key: key == "here"
        )
        self.world = world

    def take(self, count: int = 1, key: str = "10.0.0.1") -> int:
        """How many of so many requests are granted."""
        return sum(not self.limit.take_token(key, self.world.now()) for _ in range(count))


class Estate:
    """A Redis and agents that run."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.redis = MemoryRedis()
        self.world = TrioWorld()
        self._nursery = nursery

    async def agent(
        self, node: str, keys: LimitKeys = KEYS, *, receives: bool = True, burst: int = BURST
    ) -> Agent:
        """One that is connected."""
        agent = Agent(self.redis, self.world, node, keys, receives=receives, burst=burst)
        self._nursery.start_soon(agent.shared.run)
        await trio.sleep(SOON)
        return agent


@pytest.fixture
async def estate() -> AsyncIterator[Estate]:
    """For the length of a test, which takes `autojump_clock`."""
    async with trio.open_nursery() as nursery:
        made = Estate(nursery)
        async with made.redis.run():
            yield made
            nursery.cancel_scope.cancel()


async def test_agents_share_a_limit(estate: Estate, autojump_clock: object) -> None:
    """What one grants, the other does not grant again; another key is another matter."""
    one, two = await estate.agent("one"), await estate.agent("two")
    assert one.take(6) == 6
    await trio.sleep(2 * PUBLISH_INTERVAL)
    assert two.take(BURST) == BURST - 6
    assert two.take(BURST, "10.0.0.2") == BURST
    await trio.sleep(2 * PUBLISH_INTERVAL)
    assert one.take(BURST) == 0
    assert (one.shared.statistics.published, two.shared.statistics.charged) == (6, 6)


async def test_what_is_of_one_machine_is_not_shared(estate: Estate, autojump_clock: object) -> None:
    """A client on the same machine is another one at each agent."""
    one, two = await estate.agent("one"), await estate.agent("two")
    assert one.take(BURST + 1, "here") == BURST
    await trio.sleep(SOON)
    assert two.take(BURST, "here") == BURST
    assert estate.redis.messages == []


async def test_over_a_minute_agents_grant_as_much_as_one(
    estate: Estate, autojump_clock: object
) -> None:
    """Both asked all the time: what both granted at one moment is paid back."""
    agents = [await estate.agent(node) for node in ("one", "two", "three")]
    granted = 0
    for _ in range(600):
        granted += sum(agent.take() for agent in agents)
        await trio.sleep(0.1)
    assert BURST + 60 - 3 <= granted <= BURST + 60 + 3 * len(agents)


async def test_processes_of_one_agent_are_not_charged_twice(
    estate: Estate, autojump_clock: object
) -> None:
    """They share their buckets; another agent is charged by what each publishes."""
    leader, other = await estate.agent("one"), await estate.agent("two")
    worker = await estate.agent("one", receives=False)
    assert worker.take(4) == 4
    await trio.sleep(SOON)
    assert leader.shared.statistics.charged == 0
    assert other.shared.statistics.charged == 4
    assert other.take(BURST) <= BURST - 3


async def test_a_limit_that_nobody_comes_near_costs_few_messages(
    estate: Estate, autojump_clock: object
) -> None:
    """A sixteenth of the burst is published at once, less within half a second."""
    one = await estate.agent("one", burst=BATCH_SHARE * 10)
    for _ in range(50):
        one.take()
        await trio.sleep(BATCH_SECONDS / 5)
    assert 1 < len(estate.redis.messages) <= 50 / 5 + 1
    await trio.sleep(SOON)
    assert one.shared.statistics.published == 50
    before = len(estate.redis.messages)
    one.take(10, "another")
    await trio.sleep(2 * PUBLISH_INTERVAL)
    assert len(estate.redis.messages) == before + 1


async def test_redis_reads_nothing(estate: Estate, autojump_clock: object) -> None:
    """Neither names, nor addresses, nor the vault's name; the same takes look different."""
    one = await estate.agent("one")
    for _ in range(2):
        one.take(1, "198.51.100.7")
        await trio.sleep(SOON)
    seen = b"".join([*estate.redis.messages, *estate.redis.channels])
    for text in (b"198.51.100.7", LIMIT.encode(), b"one", b"org"):
        assert text not in seen
    assert estate.redis.messages[0][25:] != estate.redis.messages[1][25:]


async def test_a_vault_does_not_hear_another_one(estate: Estate, autojump_clock: object) -> None:
    """Neither by its channel nor, where Redis mixes channels up, by its key."""
    one = await estate.agent("one")
    stranger = await estate.agent("two", OTHER_KEYS)
    assert len(estate.redis.channels) == 2
    stranger.take(5)
    await trio.sleep(SOON)
    assert one.shared.statistics.charged == 0
    assert one.shared.statistics.refused == 1


async def test_messages_are_not_repeated_changed_or_reordered(
    estate: Estate, autojump_clock: object
) -> None:
    """A Redis that lies takes no token from anybody."""
    one, two = await estate.agent("one"), await estate.agent("two")
    estate.redis.holds_back = True
    for _ in range(3):
        one.take()
        await trio.sleep(SOON)
    first, second, third = estate.redis.messages
    await estate.redis.send(second)
    await trio.sleep(SOON)
    assert two.shared.statistics.charged == 1
    lies = [second, first, b"", third[:24], third[:-1], third + b"x", b"\x02" + third[1:]]
    lies += [third[:at] + bytes([third[at] ^ 1]) + third[at + 1 :] for at in range(len(third))]
    await estate.redis.send(*lies)
    await trio.sleep(SOON)
    assert two.shared.statistics.charged == 1
    assert two.shared.statistics.refused >= len(lies) - MAX_REFUSED[0]
    assert two.take(BURST) == BURST


async def test_messages_that_were_held_back_do_not_count(
    estate: Estate, autojump_clock: object
) -> None:
    """After the time for which they are of use."""
    one, two = await estate.agent("one"), await estate.agent("two")
    estate.redis.holds_back = True
    one.take(5)
    await trio.sleep(MAX_AGE / SECOND + SOON)
    await estate.redis.send(*estate.redis.messages)
    await trio.sleep(SOON)
    assert two.take(BURST) == BURST
    assert two.shared.statistics.refused == 1


@pytest.mark.parametrize(
    ("message", "count", "error"),
    [
        (b">3\r\n+message\r\n+c\r\n$3\r\nlie\r\n", MAX_REFUSED[0], "not from this vault"),
        (b">1\r\n+invalidate\r\n", MAX_MESSAGES[0], "too many messages"),
    ],
)
async def test_a_flood_ends_the_connection(
    estate: Estate, message: bytes, count: int, error: str, autojump_clock: object
) -> None:
    """Of lies, or of anything; requests are granted, and it is tried again later."""
    one = await estate.agent("one")
    before = estate.redis.connections
    await estate.redis.send_raw(message * (count - 10))
    await trio.sleep(SOON / 10)
    assert one.shared.statistics.connected
    await estate.redis.send_raw(message * count)
    await trio.sleep(SOON / 10)
    assert error in one.shared.statistics.error
    assert one.take() == 1
    await trio.sleep(RETRY_PAUSES[1])
    assert estate.redis.connections > before
    assert one.shared.statistics.connected


@pytest.mark.parametrize("data", [b":1\r\n:1\r\n:1\r\n", b"rubbish\r\n", b"$999999\r\n"])
async def test_what_is_no_answer_ends_the_connection(
    estate: Estate, data: bytes, autojump_clock: object
) -> None:
    """And is not believed."""
    one = await estate.agent("one")
    before = estate.redis.connections
    await estate.redis.send_raw(data)
    await trio.sleep(RETRY_PAUSES[1])
    assert estate.redis.connections > before
    assert one.shared.statistics.connected


async def test_without_redis_each_agent_has_its_own_limit(
    estate: Estate, autojump_clock: object
) -> None:
    """Nothing is kept for later; when it is back the limit is shared again."""
    one, two = await estate.agent("one"), await estate.agent("two")
    estate.redis.away = True
    estate.redis.drop_connections()
    await trio.sleep(SOON)
    assert not one.shared.statistics.connected
    assert (one.take(20, "before"), two.take(20, "before")) == (BURST, BURST)
    estate.redis.away = False
    await trio.sleep(2 * RETRY_PAUSES[1])
    assert one.shared.statistics.connected
    assert one.shared.statistics.published == 0
    assert one.take(BURST, "after") == BURST
    await trio.sleep(SOON)
    assert two.take(BURST, "after") <= 1


async def test_a_redis_that_does_not_answer_counts_as_away(
    estate: Estate, autojump_clock: object
) -> None:
    """Whether there is something to publish or not; a request never waits."""
    one, two = await estate.agent("one"), await estate.agent("two")
    estate.redis.mute = True
    begun = trio.current_time()
    assert one.take(BURST) == BURST
    assert trio.current_time() == begun
    await trio.sleep(2 * SOON)
    assert not one.shared.statistics.connected
    assert "does not answer" in one.shared.statistics.error
    await trio.sleep(PING_INTERVAL)
    assert not two.shared.statistics.connected


async def test_what_waits_to_be_published_is_bounded(
    estate: Estate, autojump_clock: object
) -> None:
    """What finds no place is granted all the same."""
    one, two = await estate.agent("one"), await estate.agent("two")
    assert all(one.take(1, f"key {number}") for number in range(MAX_PENDING + 10))
    assert one.take(1, "x" * 1_000) == 1
    assert one.shared.statistics.unpublished == 11
    await trio.sleep(SOON)
    assert two.shared.statistics.charged == MAX_PENDING
    assert two.shared.statistics.connected


async def test_a_fault_of_ours_ends_no_agent(
    estate: Estate, caplog: pytest.LogCaptureFixture, autojump_clock: object
) -> None:
    """The log names its kind and place."""

    @asynccontextmanager
    async def faulty() -> AsyncIterator[RedisConnection]:
        raise LookupError("secret")
        yield

    shared = SharedLimits(KEYS, "one", estate.world, faulty, receives=True)
    with trio.move_on_after(SOON):
        await shared.run()
    assert "LookupError" in shared.statistics.error
    assert "secret" not in caplog.text
