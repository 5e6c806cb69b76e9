"""What comes in on an HTTP/2 connection, as its handlers need to know it."""

from typing import NamedTuple

from protocols.http.errors import RefusedError
from protocols.http.h2_request import H2Request


class RequestReceived(NamedTuple):
    """A stream was opened with this request, or with one that has to be refused."""

    stream: int
    request: H2Request | RefusedError
    ended: bool  # no body follows


class DataReceived(NamedTuple):
    """Part of a request's body; `size` is what it took of the windows, padding included."""

    stream: int
    data: bytes
    size: int


class StreamEnded(NamedTuple):
    """The request is complete. For one without a body, RequestReceived says so itself."""

    stream: int


class StreamReset(NamedTuple):
    """The stream is no more, by the client's will or its fault."""

    stream: int


class WindowOpened(NamedTuple):
    """Somewhere more can be sent than before."""


Event = RequestReceived | DataReceived | StreamEnded | StreamReset | WindowOpened
