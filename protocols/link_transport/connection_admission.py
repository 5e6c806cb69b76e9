"""A server's entrance: what a connection waits for until its handshake may begin.

A handshake costs memory and time of the processor, so only so many go on at once. A client
that holds one of those places must be at work: it gets one after it has sent something, it keeps it
for a short time, and it has a share at most, so one that stalls keeps out itself only.
"""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from protocols.link import limits
from protocols.link.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """How many there are."""

    handshakes: int = limits.MAX_HANDSHAKES
    handshakes_per_client: int = limits.MAX_HANDSHAKES_PER_CLIENT
    silent_per_client: int = limits.MAX_SILENT_PER_CLIENT


class ConnectionAdmission:
    """Of one server. A client is an address, or an IPv6 network (`protocols.client_network`)."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._places = limits
        self._all = trio.CapacityLimiter(limits.handshakes)
        self._shares: dict[str, trio.CapacityLimiter] = {}
        self._users: Counter[str] = Counter()
        self._silent: dict[str, OrderedDict[object, trio.CancelScope]] = {}

    async def wait_first_byte(self, tcp: trio.SocketStream, client: str) -> None:
        """Return once the peer has sent something, or has gone. Raises `TransportError` (`silent`).

        Of one client's silent connections the one that waits longest goes when there are too many:
        whoever means to talk does so within a round trip, and is not kept out by those that do not.
        """
        scope, key = trio.CancelScope(), object()
        waiting = self._silent.setdefault(client, OrderedDict())
        waiting[key] = scope
        if len(waiting) > self._places.silent_per_client:
            next(iter(waiting.values())).cancel()
        try:
            with trio.move_on_after(limits.FIRST_BYTE_SECONDS), scope:
                await trio.lowlevel.wait_readable(tcp.socket)
                return
        finally:
            del waiting[key]
            if not waiting:
                self._silent.pop(client, None)
        raise TransportError("silent", "the peer has connected and said nothing")

    @asynccontextmanager
    async def handshake_slot(self, client: str) -> AsyncIterator[None]:
        """For the block, one of the places for a handshake. Raises `TransportError` (`timeout`)."""
        self._users[client] += 1
        share = self._shares.setdefault(
            client, trio.CapacityLimiter(self._places.handshakes_per_client)
        )
        try:
            async with share, self._all:
                with trio.move_on_after(limits.HANDSHAKE_SECONDS) as scope:
                    yield
        finally:
            self._users[client] -= 1
            if not self._users[client]:
                del self._users[client], self._shares[client]
        if scope.cancelled_caught:
            raise TransportError("timeout", "the peer did not finish its handshake in time")
