"""The wire between the processes of one control plane: whatever one says, all of them hear.

It may lose, and it need not say so: the relay finds out.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class PubSubError(Exception):
    """There is no connection. `str` names the reason and holds no secret."""


class Channel(Protocol):
    """An open connection, one channel of it."""

    async def publish(self, message: bytes) -> None:
        """Everybody on the channel hears it, who says it too. Raises `PubSubError`."""
        ...

    async def receive(self) -> bytes:
        """The next that was said since it is open, each sender's in order. Raises `PubSubError`."""
        ...


class PubSub(Protocol):
    """Opens lines."""

    def open_channel(self, channel: str) -> AbstractAsyncContextManager[Channel]:
        """A line that hears from now on, for the length of the block. Raises `PubSubError`."""
        ...
