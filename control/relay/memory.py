"""A wire in memory: for tests and simulations, held to the contract that Redis is held to."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from control.relay.wire import WireError


class MemoryLine:
    """See `Line`."""

    def __init__(self, wire: "MemoryWire", channel: str) -> None:
        self.channel = channel
        self._wire = wire
        self.words, self._arriving = trio.open_memory_channel[bytes](math.inf)

    async def say(self, message: bytes) -> None:
        """See `Line`."""
        await trio.lowlevel.checkpoint()
        if self not in self._wire.lines:
            raise WireError("cut")
        for line in self._wire.lines:
            if line.channel == self.channel:
                line.words.send_nowait(message)

    async def hear(self) -> bytes:
        """See `Line`."""
        try:
            return await self._arriving.receive()
        except trio.EndOfChannel:
            raise WireError("cut") from None


class MemoryWire:
    """See `Wire`."""

    def __init__(self) -> None:
        self.lines: list[MemoryLine] = []
        self.up = True

    @asynccontextmanager
    async def open(self, channel: str) -> AsyncIterator[MemoryLine]:
        """See `Wire`."""
        await trio.lowlevel.checkpoint()
        if not self.up:
            raise WireError("down")
        line = MemoryLine(self, channel)
        self.lines.append(line)
        try:
            yield line
        finally:
            if line in self.lines:
                self.lines.remove(line)

    def cut(self) -> None:
        """As if the server had died: all lines end, and none can be opened."""
        self.up = False
        lines, self.lines = self.lines, []
        for line in lines:
            line.words.close()
