"""Publish/subscribe over Redis (RESP3), on two connections.

Redis stores nothing and is sent nothing secret: names of organizations and agents, versions, ids.
coredis does not reconnect by itself: the relay has to know of each interruption.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import coredis
from anyio import ClosedResourceError, EndOfStream
from coredis.exceptions import AuthenticationError, AuthorizationError, RedisError
from coredis.patterns.pubsub import PubSub
from coredis.retry import NoRetryPolicy

from control.cluster.pubsub import PubSubError

CONNECT_TIMEOUT: Final = 3.0  # seconds
ANSWER_TIMEOUT: Final = 3.0  # seconds for one command
_FAULTS: Final = (RedisError, OSError, TimeoutError, EndOfStream, ClosedResourceError)


class RedisChannel:
    """See `Channel`."""

    def __init__(self, client: coredis.Redis[bytes], sub: PubSub[bytes], channel: str) -> None:
        self._client = client
        self._sub = sub
        self._channel = channel

    async def publish(self, message: bytes) -> None:
        """See `Channel`."""
        with _translated_errors():
            await self._client.publish(self._channel, message)

    async def receive(self) -> bytes:
        """See `Channel`."""
        with _translated_errors():
            while True:
                message = await self._sub.get_message()
                if message is not None and isinstance(message["data"], bytes):
                    return message["data"]


class RedisPubSub:
    """See `PubSub`."""

    def __init__(self, url: str) -> None:
        """`url` may hold a password: it goes nowhere but to the client."""
        self._url = url

    @asynccontextmanager
    async def open_channel(self, channel: str) -> AsyncIterator[RedisChannel]:
        """See `PubSub`."""
        options: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT,
            "stream_timeout": ANSWER_TIMEOUT,
            "retry_policy": NoRetryPolicy(),
        }
        with _translated_errors():
            async with (
                coredis.Redis.from_url(self._url, **options) as client,
                client.pubsub(
                    channels=[channel],
                    ignore_subscribe_messages=True,
                    retry_policy=NoRetryPolicy(),
                ) as sub,
            ):
                yield RedisChannel(client, sub, channel)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate the client's errors.

    Their texts can contain an address; ours name the kind alone.
    """
    try:
        yield
    except _FAULTS as error:
        raise PubSubError(_error_text(error)) from None
    except BaseExceptionGroup as group:
        faults, others = group.split((*_FAULTS, PubSubError))
        if faults is None:
            raise
        if others is not None:  # of a line that is cancelled the connection's own end is no news
            raise others from None
        raise PubSubError(_error_text(_first_error(faults))) from None


def _error_text(error: BaseException) -> str:
    """The kind of the error, with what to do where waiting does not help."""
    if isinstance(error, AuthenticationError):
        return "authentication failed: see user and password in redis.url"
    if isinstance(error, AuthorizationError):
        return "authentication: the user in redis.url may not publish and subscribe"
    return type(error).__name__


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner
