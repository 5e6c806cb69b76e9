"""Whose fault it was: the peer's (answered or cut), or ours (logged)."""

from collections.abc import Sequence


class HttpError(Exception):
    """Base of what this package raises."""


class RefusedError(HttpError):
    """The peer sent what we do not accept; it gets `status` and, on HTTP/1.1, is cut after it.

    `code` is a short stable word for logs and counters; `message` is for the client and repeats
    nothing that the client sent.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class PeerLeftError(HttpError):
    """The peer closed, reset or let its time run out: nobody is left to answer."""


class ProxyHeaderError(HttpError):
    """A trusted proxy's connection does not begin with a PROXY protocol header; it is closed.

    The text says what is wrong and repeats nothing that was received.
    """


class AppError(HttpError):
    """The application broke the ASGI contract, or would have broken HTTP on the wire."""


class TlsConfigError(HttpError, ValueError):
    """A certificate, key or trust store cannot be used; what was in force stays in force."""


class ProtocolViolationError(HttpError):
    """The peer broke HTTP/2 for the whole connection; `code` is RFC 9113 section 7's number."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class SocketViolationError(HttpError):
    """The peer broke RFC 6455 or a bound; `code` is section 7.4.1's, for the Close."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = int(code)
        self.reason = reason


class SocketClosedError(HttpError, OSError):
    """A message for a websocket that is over: ASGI has `send` raise a kind of OSError."""
