"""Who is connected: every connection by its agent's name, and the one that counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from control.gateway.agent_connection import AgentConnection
from protocols.link.errors import TransportError
from protocols.link.vocabulary import ByeReason
from protocols.pki.names import AgentName

MAX_CONNECTIONS_PER_AGENT: Final = 4
"""Connections of one agent: one that counts, one that ends, and two that greet."""


class ConnectionSlot:
    """A connection's place. `generation`: of the certificate that it was admitted by, then."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.generation = 0


class Connections:
    """In memory, for this process."""

    def __init__(self) -> None:
        self._seats: dict[AgentName, list[ConnectionSlot]] = {}
        self._live: dict[AgentName, AgentConnection] = {}

    @contextmanager
    def register(self, name: AgentName) -> Iterator[ConnectionSlot]:
        """A connection of this agent, for the length of the block; `disconnect` ends the block.

        To be taken before it is asked whether the agent counts: then one that is locked meanwhile
        is found here. Raises `TransportError` (`crowded`) when the agent has too many.
        """
        seats = self._seats.setdefault(name, [])
        if len(seats) >= MAX_CONNECTIONS_PER_AGENT:
            raise TransportError("crowded", "this agent has too many connections")
        with trio.CancelScope() as scope:
            seat = ConnectionSlot(scope)
            seats.append(seat)
            try:
                yield seat
            finally:
                seats.remove(seat)
                if not seats:
                    del self._seats[name]

    def set_active(self, agent: AgentConnection) -> None:
        """This connection has proven itself: it counts from now on, and the one before ends."""
        before = self._live.get(agent.name)
        self._live[agent.name] = agent
        if before is not None and before is not agent:
            before.close(ByeReason.REPLACED)

    def remove_active(self, agent: AgentConnection) -> None:
        """This connection is over."""
        if self._live.get(agent.name) is agent:
            del self._live[agent.name]

    def disconnect(self, name: AgentName, since: int = 0) -> None:
        """End all connections of this agent now; those by a certificate of `since` or later stay.

        0 spares none. Who was not admitted yet is not spared either: it may come by an older one.
        """
        for seat in self._seats.get(name, ()):
            if not 0 < since <= seat.generation:
                seat.scope.cancel()

    def active_connection(self, org: str, vault: str) -> AgentConnection | None:
        """The connection that counts."""
        return self._live.get(AgentName(org, vault))

    def active_connections(self) -> list[AgentConnection]:
        """Those that count, as of now."""
        return list(self._live.values())

    def __len__(self) -> int:
        return len(self._live)
