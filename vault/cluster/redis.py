"""A connection to Redis on Trio: RESP3, with a bound on each reply and on each wait.

Replies are bounded because Redis is not trusted with this process's memory; the client libraries
take a string of any length. See docs/decisions/27-shared-rate-limits.md, and for the protocol
https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio
from msgspec import Struct

from actors import World
from vault.connections.tls import client_context
from vault.errors import VaultError
from vault.model.server_address import RedisAddress, ServerTls

CONNECT_SECONDS: Final = 3.0
"""For name resolution, connection, TLS and authentication together."""
SEND_SECONDS: Final = 1.0
MAX_REPLY: Final = 1 << 17  # bytes
_MAX_ITEMS: Final = 1_000  # of an array or a map
_MAX_DEPTH: Final = 8
_CHUNK: Final = 1 << 14
_LINE_END: Final = b"\r\n"

_ADVICE: Final = {
    "WRONGPASS": "wrong user or password: see cache.redis.url and cache.redis.password_file",
    "NOAUTH": "it wants a password: set cache.redis.password_file",
    "NOPERM": "its user lacks a permission: docs/guides/several-agents.md has the ACL",
}


class RedisError(Exception):
    """The connection cannot be made or used; the text says why, without an address or a secret."""


class ErrorReply(str):
    """An error that Redis replied."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """For people: what to do, or the error's code alone."""
        code = self.partition(" ")[0][:32]
        return _ADVICE.get(code, f"it answers {code if code.isalnum() else 'an error'}")


class Push(list[object]):
    """What Redis sends without being asked."""


Reply = bytes | int | None | ErrorReply | Push | list[object]


class RedisTarget(Struct, frozen=True):
    """Where Redis is and how to authenticate. `tls` is None without TLS."""

    address: RedisAddress
    tls: ServerTls | None = None
    read_password: Callable[[], str] | None = None
    """Blocks; raises `VaultError`. None: the password is in the address, or there is none."""


class ReplyParser:
    """Bytes in, replies out. Raises `RedisError` for what is not RESP3 or is too large.

    `max_reply`: bytes; `max_items`: of an array or a map.
    """

    def __init__(self, max_reply: int = MAX_REPLY, max_items: int = _MAX_ITEMS) -> None:
        self._buffer = bytearray()
        self._max_reply = max_reply
        self._max_items = max_items

    def feed(self, data: bytes | bytearray) -> None:
        """Take what was received."""
        self._buffer += data

    def next_reply(self) -> tuple[Reply] | None:
        """The next reply; None: it is not complete."""
        try:
            reply, end = self._parse(0, 0)
        except _IncompleteError:
            if len(self._buffer) > self._max_reply:
                raise RedisError("a reply is too large") from None
            return None
        except ValueError:
            raise RedisError("what answers is not Redis 6 or later") from None
        del self._buffer[:end]
        return (reply,)

    def _parse(self, at: int, depth: int) -> tuple[Reply, int]:
        if depth > _MAX_DEPTH:
            raise RedisError("a reply is too large")
        end = self._buffer.find(_LINE_END, at)
        if end < 0:
            raise _IncompleteError
        kind, line, after = self._buffer[at : at + 1], bytes(self._buffer[at + 1 : end]), end + 2
        match bytes(kind):
            case b"+" | b"(" | b"," | b"#":
                return line, after
            case b"-":
                return ErrorReply(line.decode("ascii", "replace")), after
            case b":":
                return int(line), after
            case b"_":
                return None, after
            case b"$" | b"=" | b"!":
                return self._parse_string(int(line), after)
            case b"*" | b"~" | b">" | b"%":
                count = int(line) * (2 if kind == b"%" else 1)
                return self._parse_items(Push if kind == b">" else list, count, after, depth)
        raise ValueError

    def _parse_string(self, length: int, at: int) -> tuple[Reply, int]:
        if length < 0:
            return None, at
        if length > self._max_reply:
            raise RedisError("a reply is too large")
        if len(self._buffer) < at + length + 2:
            raise _IncompleteError
        return bytes(self._buffer[at : at + length]), at + length + 2

    def _parse_items(
        self, kind: type[list[object]], count: int, at: int, depth: int
    ) -> tuple[Reply, int]:
        if count > self._max_items:
            raise RedisError("a reply is too large")
        items = kind()
        for _ in range(count):
            item, at = self._parse(at, depth + 1)
            items.append(item)
        return items, at


class _IncompleteError(Exception):
    """More has to be received."""


class RedisConnection:
    """Made by `open_connection`. One task sends and one receives."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._parser = ReplyParser()

    async def send(self, *parts: bytes) -> None:
        """Send a command. Raises `RedisError`."""
        command = b"*%d\r\n" % len(parts)
        command += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        with translated_errors(), trio.fail_after(SEND_SECONDS):
            await self._stream.send_all(command)

    async def receive(self) -> Reply:
        """The next reply or push. Raises `RedisError`."""
        while (reply := self._parser.next_reply()) is None:
            with translated_errors():
                data = await self._stream.receive_some(_CHUNK)
            if not data:
                raise RedisError("it closed the connection")
            self._parser.feed(data)
        return reply[0]

    async def authenticate(self, user: str, password: str) -> None:
        """Choose RESP3, and say who we are where there is a password."""
        credentials = [b"AUTH", user.encode(), password.encode()] if password else []
        await self.send(b"HELLO", b"3", *credentials)
        reply = await self.receive()
        if isinstance(reply, ErrorReply):
            raise RedisError(reply.reason)


@asynccontextmanager
async def open_connection(target: RedisTarget, world: World) -> AsyncIterator[RedisConnection]:
    """A connection for the length of the block. Raises `RedisError`."""
    with translated_errors():
        with trio.fail_after(CONNECT_SECONDS):
            stream = await _open_stream(target, world)
    try:
        connection = RedisConnection(stream)
        password = target.address.password
        with translated_errors(), trio.fail_after(CONNECT_SECONDS):
            if target.read_password is not None:
                password = await world.run_sync(target.read_password, abandon_on_cancel=True)
            await connection.authenticate(target.address.user, password)
        yield connection
    finally:
        await trio.aclose_forcefully(stream)


async def _open_stream(target: RedisTarget, world: World) -> trio.abc.Stream:
    address = target.address
    if address.socket:
        return await trio.open_unix_socket(address.socket)
    stream = await trio.open_tcp_stream(address.host, address.port)
    if target.tls is None:
        return stream
    try:
        context = await world.run_sync(_tls_context, target.tls, abandon_on_cancel=True)
        secured = trio.SSLStream(stream, context, server_hostname=address.host)
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


def _tls_context(tls: ServerTls) -> ssl.SSLContext:
    try:
        return client_context(tls)
    except OSError as error:
        raise RedisError(
            f"cache.redis.tls: a file cannot be used ({type(error).__name__})"
        ) from None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate what Trio, the socket and TLS raise to `RedisError`."""
    try:
        yield
    except trio.TooSlowError:
        raise RedisError("it does not answer in time") from None
    except VaultError as error:
        raise RedisError(error.message) from None
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause = error.__cause__ or error
        while isinstance(cause, BaseExceptionGroup):  # of several addresses
            cause = cause.exceptions[0]
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = "its certificate is not trusted: see cache.redis.tls.ca_file"
        else:
            why = f"no connection ({type(cause).__name__})"
        raise RedisError(why) from None
