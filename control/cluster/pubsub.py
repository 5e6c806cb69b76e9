"""The publish/subscribe interface between the processes of one control plane.

Messages can be lost without notice: the relay finds out.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class PubSubError(Exception):
    """There is no connection. `str` names the reason and holds no secret."""


class Channel(Protocol):
    """One open channel."""

    async def publish(self, message: bytes) -> None:
        """Send a message to every subscriber of the channel, the sender included.

        Raises `PubSubError`.
        """
        ...

    async def receive(self) -> bytes:
        """The next message since the channel was opened, in order for each sender.

        Raises `PubSubError`.
        """
        ...


class PubSub(Protocol):
    """Opens channels."""

    def open_channel(self, channel: str) -> AbstractAsyncContextManager[Channel]:
        """A channel that receives from now on, for the length of the block.

        Raises `PubSubError`.
        """
        ...
