"""A server's entrance: what a connection waits for until its handshake may begin.

A handshake costs memory and time of the processor, so only so many go on at once. Who holds one of
those places must be at work: nobody is given one before he has said something, nobody keeps it for
long, and no client has more than a share, so that one that stalls keeps out itself at most.
"""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from protocols.link import limits
from protocols.link.errors import PipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many there are."""

    handshakes: int = limits.MAX_HANDSHAKES
    handshakes_each: int = limits.MAX_HANDSHAKES_EACH
    silent_each: int = limits.MAX_SILENT_EACH


class Entrance:
    """Of one server. A client is an address, or an IPv6 network (`protocols.client`)."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._all = trio.CapacityLimiter(places.handshakes)
        self._shares: dict[str, trio.CapacityLimiter] = {}
        self._users: Counter[str] = Counter()
        self._silent: dict[str, OrderedDict[object, trio.CancelScope]] = {}

    async def spoken(self, tcp: trio.SocketStream, client: str) -> None:
        """Return once the peer has sent something, or has gone. Raises `PipeError` (`silent`).

        Of one client's silent connections the one that waits longest goes when there are too many:
        whoever means to talk does so within a round trip, and is not kept out by those that do not.
        """
        scope, key = trio.CancelScope(), object()
        waiting = self._silent.setdefault(client, OrderedDict())
        waiting[key] = scope
        if len(waiting) > self._places.silent_each:
            next(iter(waiting.values())).cancel()
        try:
            with trio.move_on_after(limits.FIRST_BYTE_SECONDS), scope:
                await trio.lowlevel.wait_readable(tcp.socket)
                return
        finally:
            del waiting[key]
            if not waiting:
                self._silent.pop(client, None)
        raise PipeError("silent", "the peer has connected and said nothing")

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """For the block, one of the places for a handshake. Raises `PipeError` (`timeout`)."""
        self._users[client] += 1
        share = self._shares.setdefault(client, trio.CapacityLimiter(self._places.handshakes_each))
        try:
            async with share, self._all:
                with trio.move_on_after(limits.HANDSHAKE_SECONDS) as scope:
                    yield
        finally:
            self._users[client] -= 1
            if not self._users[client]:
                del self._users[client], self._shares[client]
        if scope.cancelled_caught:
            raise PipeError("timeout", "the peer did not finish its handshake in time")
