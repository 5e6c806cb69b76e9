"""A pipe: a lane's end that belongs to a thread, which waits at it and nowhere else.

Frames are those of `vault.workers.wire`.
"""

import socket
from contextlib import suppress
from typing import Final, Generic, TypeVar

import msgspec

from vault.workers.wire import LENGTH, MOST, framed

M = TypeVar("M")

_CHUNK: Final = 1 << 18


class Pipe(Generic[M]):
    """One end of one lane. `M` is what comes in."""

    def __init__(self, sock: socket.socket, shape: type[M]) -> None:
        """`sock` blocks; whoever made it closes it."""
        self._socket = sock
        self._decode = msgspec.msgpack.Decoder(shape).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._buffer = bytearray()
        self._is_shut = False

    def receive(self) -> list[M]:
        """All messages that have come, one at least; empty once the other end is closed, or `shut`.

        What has come and was not received when this end was shut is lost. Raises `ValueError` for
        what is no message.
        """
        messages: list[M] = []
        while not messages and self._fill():
            while (message := self._next()) is not None:
                messages.append(self._decode(message))
        return messages

    def send(self, *messages: object) -> None:
        """Send them, which waits while the other end takes nothing; to one that is closed nothing.

        Raises `ValueError` for one whose frame would be over the bound.
        """
        data = b"".join([framed(self._encode(message)) for message in messages])
        with suppress(OSError):  # it is gone, and `receive` says so
            self._socket.sendall(data)

    def shut(self) -> None:
        """End both, also while they wait; from any thread."""
        self._is_shut = True  # what lies at the socket could still be read
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _fill(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK)
        except OSError:
            return False
        self._buffer += data
        return bool(data) and not self._is_shut

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < LENGTH:
            return None
        end = LENGTH + int.from_bytes(buffer[:LENGTH])
        if end > MOST:
            raise ValueError("a frame is over its bound")
        if len(buffer) < end:
            return None
        message = memoryview(buffer)[LENGTH:end].tobytes()
        del buffer[:end]
        return message
