"""What carries a session's frames: `WebSocketTransport` over a network, or one in memory."""

from typing import Final, Protocol

REFUSED: Final = "refused"
"""The word with which the control plane ends the connection of an agent that does not count."""


class LinkTransport(Protocol):
    """An ordered, message-keeping connection whose peer TLS has authenticated.

    One task sends and one receives at a time. Every method raises `TransportError` once the
    connection is gone.
    """

    @property
    def peer_certificate(self) -> bytes:
        """The peer's leaf certificate in DER."""
        ...

    async def send(self, frame: bytes) -> None:
        """Write a whole frame, within a bound of time. A cancelled write breaks the pipe."""
        ...

    async def receive(self) -> bytes:
        """The next frame, whole. Waits as long as it takes: the session keeps the time."""
        ...

    async def aclose(self, fault: str = "") -> None:
        """Close within a bound of time. `fault`: a word for the peer if it broke the protocol."""
        ...
