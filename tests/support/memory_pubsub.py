"""A wire in memory: for tests and simulations, held to the contract that Redis is held to."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from control.cluster.pubsub import PubSubError


class MemoryChannel:
    """See `Channel`."""

    def __init__(self, pubsub: "MemoryPubSub", channel: str) -> None:
        self.channel = channel
        self._wire = pubsub
        self.messages, self._arriving = trio.open_memory_channel[bytes](math.inf)

    async def publish(self, message: bytes) -> None:
        """See `Channel`."""
        await trio.lowlevel.checkpoint()
        if self not in self._wire.channels:
            raise PubSubError("cut")
        for line in self._wire.channels:
            if line.channel == self.channel:
                line.messages.send_nowait(message)

    async def receive(self) -> bytes:
        """See `Channel`."""
        try:
            return await self._arriving.receive()
        except trio.EndOfChannel:
            raise PubSubError("cut") from None


class MemoryPubSub:
    """See `PubSub`."""

    def __init__(self) -> None:
        self.channels: list[MemoryChannel] = []
        self.is_up = True

    @asynccontextmanager
    async def open_channel(self, channel: str) -> AsyncIterator[MemoryChannel]:
        """See `PubSub`."""
        await trio.lowlevel.checkpoint()
        if not self.is_up:
            raise PubSubError("down")
        line = MemoryChannel(self, channel)
        self.channels.append(line)
        try:
            yield line
        finally:
            if line in self.channels:
                self.channels.remove(line)

    def disconnect(self) -> None:
        """As if the server had died: all lines end, and none can be opened."""
        self.is_up = False
        lines, self.channels = self.channels, []
        for line in lines:
            line.messages.close()
