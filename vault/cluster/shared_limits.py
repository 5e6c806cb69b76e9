"""Rate limits that all agents of a vault share, by messages over Redis.

Each agent grants tokens from buckets of its own, without a wait, and publishes afterwards what it
has granted. The others charge their buckets with it. So no request depends on Redis: while it is
away or slow, each agent has the limits that it has without it. Redis stores nothing.

A message is `version (1) || sender (16) || sequence (8) || box`. The box is sealed under a key of
this sender, derived from the vault's keyring, and bound to the 25 bytes before it. A sender is one
connection of one process; its sequence begins at 1. Redis can therefore not read, forge or repeat
a message, or change their order. It can only lose or delay them.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from struct import Struct as Layout
from typing import Final, Protocol
from uuid import UUID

import msgspec
import trio

from actors import World
from protocols.errors import locate
from protocols.instant import SECOND
from protocols.token_bucket import TokenBucket
from vault.cluster.redis import ErrorReply, Push, RedisConnection, RedisError, Reply

BATCH_SHARE: Final = 16
"""A process publishes at once when it has granted one in so many tokens of a bucket's burst ..."""
BATCH_SECONDS: Final = 0.5
"""... and else after so long. So a limit that nobody comes near costs two messages a second."""
PUBLISH_INTERVAL: Final = 0.025
"""Seconds between two messages of a process."""
ANSWER_SECONDS: Final = 1.0
PING_INTERVAL: Final = 5.0
RETRY_PAUSES: Final = (0.5, 30.0)  # seconds: after the first failure, and the longest
STABLE_SECONDS: Final = 30.0
"""After a connection that lasted so long the pauses begin anew."""
MAX_AGE: Final = 5 * SECOND
"""A message that is older was held back, or comes from a machine whose clock is wrong."""
MAX_PENDING: Final = 4_096  # keys whose tokens are not yet published
MAX_ENTRIES: Final = 512  # of a message
MAX_KEY: Final = 128  # characters; an identity has 36, an address 43
MAX_SENDERS: Final = 1_024
MAX_MESSAGES: Final = (10_000, 5_000.0)  # at once, and a second
MAX_REFUSED: Final = (100, 10.0)  # the same, of those that are not from this vault

_VERSION: Final = 1
_HEADER: Final = Layout(">B16sQ")
_MESSAGE: Final = b"message"

log: Final = logging.getLogger("freehold.cluster")


class ChargeableBuckets(Protocol):
    """See `vault.authz.rate_limits.TokenBuckets`."""

    def take_token(self, key: str, now: int, /) -> int:
        """Take one token."""
        ...

    def charge(self, key: str, count: int, now: int, /) -> None:
        """Take tokens that another agent has granted."""
        ...


class SessionCipher(Protocol):
    """Seals and opens under the key of one sender."""

    def seal(self, plaintext: bytes, aad: bytes, /) -> bytes:
        """A fresh box."""
        ...

    def open_or_none(self, box: bytes, aad: bytes, /) -> bytes | None:
        """What was sealed; None: not by this sender, or changed since."""
        ...


class LimitKeys(Protocol):
    """What the keyring gives for these messages; see `vault.seal.bound_keys`."""

    @property
    def channel(self) -> str:
        """The Redis channel of this vault, which does not tell its name."""
        ...

    def session(self, sender: bytes, /) -> SessionCipher:
        """The cipher of a sender."""
        ...


class Grants(msgspec.Struct, array_like=True, frozen=True):
    """The content of a message: what one process has granted."""

    sent_at: int  # ns, Unix time
    node: str
    entries: list[tuple[str, str, int]]  # limit, key, tokens


class LimitStatistics(msgspec.Struct):
    """Counts since the vault was opened, of one process."""

    connected: bool = False
    error: str = ""  # why it is not connected
    published: int = 0  # tokens
    charged: int = 0  # tokens
    refused: int = 0  # messages
    unpublished: int = 0  # tokens for which there was no place


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Grants).decode

Connect = Callable[[], AbstractAsyncContextManager[RedisConnection]]


class SharedLimits:
    """The exchange of one process. `run` keeps it going; without that the limits are local."""

    def __init__(
        self, keys: LimitKeys, node: str, world: World, connect: Connect, *, receives: bool
    ) -> None:
        """`node`: this agent. `receives`: one process of an agent, as all share their buckets."""
        self.statistics = LimitStatistics()
        self._keys = keys
        self._node = node
        self._world = world
        self._connect = connect
        self._receives = receives
        self._limits: dict[str, ChargeableBuckets] = {}
        self._pending: dict[tuple[str, str], int] = {}
        self._has_pending = trio.Event()
        self._is_urgent = trio.Event()
        self._senders: dict[bytes, tuple[SessionCipher, int]] = {}  # with the last sequence
        now = world.monotonic()
        self._messages = TokenBucket(*MAX_MESSAGES, now)
        self._refusals = TokenBucket(*MAX_REFUSED, now)

    def track(
        self,
        limit: str,
        buckets: ChargeableBuckets,
        burst: int,
        is_local: Callable[[str], bool] | None = None,
    ) -> "TrackedBuckets":
        """The same buckets, shared with other agents under the name of the limit.

        `is_local`: keys that mean somebody else at another agent.
        """
        self._limits[limit] = buckets
        note = partial(self._note_token, limit, burst // BATCH_SHARE)
        return TrackedBuckets(buckets, note, is_local)

    async def run(self) -> None:
        """Connect, exchange, and connect again after a failure; until cancelled."""
        shortest, longest = RETRY_PAUSES
        pause = shortest
        while True:
            begun = self._world.monotonic()
            try:
                await self._exchange()
            except* Exception as group:  # noqa: BLE001  # no request may suffer for it
                self._report_failure(_first(group))
            finally:
                self.statistics.connected = False
                self._pending.clear()
            if self._world.monotonic() - begun >= STABLE_SECONDS:
                pause = shortest
            await self._world.sleep(pause * (0.5 + self._world.jitter() / 2))
            pause = min(2 * pause, longest)

    def _report_failure(self, error: BaseException) -> None:
        reason = str(error) if isinstance(error, RedisError) else f"fault: {locate(error)}"
        if reason != self.statistics.error:
            log.warning("Redis: %s; rate limits are each agent's own until it is back", reason)
        self.statistics.error = reason

    async def _exchange(self) -> None:
        async with self._connect() as connection, trio.open_nursery() as nursery:
            if self._receives:
                await self._subscribe(connection)
            commands = _Commands(connection)
            nursery.start_soon(self._receive, connection, commands)
            await commands.run(b"PING")
            if self.statistics.error:
                log.info("Redis: connected again; rate limits are shared")
            self.statistics.connected, self.statistics.error = True, ""
            nursery.start_soon(self._keep_alive, commands)
            await self._publish(commands)

    async def _subscribe(self, connection: RedisConnection) -> None:
        with trio.move_on_after(ANSWER_SECONDS):
            await connection.send(b"SUBSCRIBE", self._keys.channel.encode())
            reply = await connection.receive()
            if isinstance(reply, ErrorReply):
                raise RedisError(reply.reason)
            return
        raise RedisError("it does not answer in time")

    async def _keep_alive(self, commands: "_Commands") -> None:
        """Notice that Redis is gone, also while there is nothing to publish."""
        while True:
            await self._world.sleep(PING_INTERVAL)
            await commands.run(b"PING")

    async def _publish(self, commands: "_Commands") -> None:
        sender, sequence = UUID(self._world.new_id()).bytes, 0
        cipher = self._keys.session(sender)
        while True:
            await self._has_pending.wait()
            with trio.move_on_after(BATCH_SECONDS):
                await self._is_urgent.wait()
            for entries in self._drain():
                sequence += 1
                header = _HEADER.pack(_VERSION, sender, sequence)
                grants = Grants(self._world.now(), self._node, entries)
                message = header + cipher.seal(_encode(grants), header)
                await commands.run(b"PUBLISH", self._keys.channel.encode(), message)
                self.statistics.published += sum(count for _, _, count in entries)
            await self._world.sleep(PUBLISH_INTERVAL)

    def _note_token(self, limit: str, batch: int, key: str) -> None:
        """Publish it with the next message, unless Redis is away."""
        if not self.statistics.connected:
            return
        pending, at = self._pending, (limit, key)
        count = pending.get(at, 0)
        if not count and (len(pending) >= MAX_PENDING or len(key) > MAX_KEY):
            self.statistics.unpublished += 1
            return
        pending[at] = count + 1
        if not count:
            self._has_pending.set()
        if count + 1 >= batch:
            self._is_urgent.set()

    def _drain(self) -> list[list[tuple[str, str, int]]]:
        entries = [(limit, key, count) for (limit, key), count in self._pending.items()]
        self._pending.clear()
        self._has_pending, self._is_urgent = trio.Event(), trio.Event()
        return [entries[at : at + MAX_ENTRIES] for at in range(0, len(entries), MAX_ENTRIES)]

    async def _receive(self, connection: RedisConnection, commands: "_Commands") -> None:
        while True:
            reply = await connection.receive()
            if not isinstance(reply, Push):
                commands.take_reply(reply)
                continue
            if not self._messages.try_consume(self._world.monotonic()):
                raise RedisError("it sends too many messages")
            if not self._accept(reply) and not self._refusals.try_consume(self._world.monotonic()):
                raise RedisError("it sends messages that are old or not from this vault")

    def _accept(self, push: Push) -> bool:
        """Charge our buckets with a message; False: it is not from an agent of this vault."""
        match push:
            case [kind, _, bytes(message)] if kind == _MESSAGE:
                grants = self._open(message)
            case _:
                return True  # of subscriptions
        if grants is None:
            self.statistics.refused += 1
            return False
        if grants.node == self._node:
            return True
        now = self._world.now()
        for limit, key, count in grants.entries:
            buckets = self._limits.get(limit)
            if buckets is not None and count > 0:
                buckets.charge(key, count, now)
                self.statistics.charged += count
        return True

    def _open(self, message: bytes) -> Grants | None:
        if len(message) < _HEADER.size:
            return None
        header = message[: _HEADER.size]
        version, sender, sequence = _HEADER.unpack(header)
        if version != _VERSION:
            return None
        cipher, last = self._senders.get(sender) or (self._keys.session(sender), 0)
        if sequence <= last:
            return None
        content = cipher.open_or_none(message[_HEADER.size :], header)
        if content is None:
            return None
        self._senders.pop(sender, None)
        self._senders[sender] = cipher, sequence
        if len(self._senders) > MAX_SENDERS:
            del self._senders[next(iter(self._senders))]
        try:
            grants = _decode(content)
        except msgspec.DecodeError:
            return None
        return grants if abs(self._world.now() - grants.sent_at) <= MAX_AGE else None


class TrackedBuckets:
    """Buckets whose granted tokens are published."""

    def __init__(
        self,
        buckets: ChargeableBuckets,
        note_token: Callable[[str], None],
        is_local: Callable[[str], bool] | None,
    ) -> None:
        self._buckets = buckets
        self._note_token = note_token
        self._is_local = is_local

    def take_token(self, key: str, now: int) -> int:
        """As `TokenBuckets.take_token`."""
        wait = self._buckets.take_token(key, now)
        if not wait and (self._is_local is None or not self._is_local(key)):
            self._note_token(key)
        return wait


class _Commands:
    """One command after the other, each with its answer."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._turn = trio.Lock()
        self._answers, self._received = trio.open_memory_channel[Reply](1)

    async def run(self, *parts: bytes) -> None:
        """Send a command and wait for its answer. Raises `RedisError`."""
        async with self._turn:
            await self._connection.send(*parts)
            with trio.move_on_after(ANSWER_SECONDS):
                reply = await self._received.receive()
                if isinstance(reply, ErrorReply):
                    raise RedisError(reply.reason)
                return
            raise RedisError("it does not answer in time")

    def take_reply(self, reply: Reply) -> None:
        """What was received. Raises `RedisError`."""
        try:
            self._answers.send_nowait(reply)
        except trio.WouldBlock:
            raise RedisError("it answers what was not asked") from None


@asynccontextmanager
async def run_shared_limits(shared: SharedLimits | None) -> AsyncIterator[None]:
    """Run the exchange for the length of the block; None: limits are not shared."""
    if shared is None:
        yield
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.run)
        yield
        nursery.cancel_scope.cancel()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
