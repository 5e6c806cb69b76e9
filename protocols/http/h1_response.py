"""ASGI response messages into bytes of HTTP/1.1 (RFC 9112), without I/O."""

import re
from http import HTTPStatus
from operator import itemgetter

from protocols.http.asgi import Headers, Message
from protocols.http.errors import AppError

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}
# What an application may put on the wire: one line a field, so no value can start another.
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: [\t\x20-\x7e\x80-\xff]*+\r\n)*+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
# The connection is ours to manage: RFC 9110 section 7.6.1.
_OURS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_READ = _OURS | {b"content-length", b"date"}  # what we have to know of
CLOSE = (b"connection", b"close")
"""The one field of these that an application may give: its answer is the connection's last one."""
_NAME = itemgetter(0)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY = frozenset({204, 304})  # RFC 9110 section 6.4.1
_LAST_CHUNK = b"0\r\n\r\n"


def parse_start(message: Message) -> tuple[int, Headers]:
    """Status and headers of an `http.response.start`. Raises AppError for what is not one."""
    status = message["status"]
    if not isinstance(status, int) or not 200 <= status <= 599:  # noqa: PLR2004 - final statuses
        raise AppError("response status is not between 200 and 599")
    return status, list(message.get("headers", ()))


def split_headers(headers: Headers) -> tuple[Headers, bytes, bytes | None, bool]:
    """Split an application's headers into what both protocols need.

    Returns the fields without what is the server's to say, the same as lines of HTTP/1.1, the
    declared content-length, and whether there is a date. Raises AppError.
    """
    fields, length, dated = headers, None, False
    if not _READ.isdisjoint(map(_NAME, headers)):
        fields, length, dated = _sort_out(headers)
    block = b"".join([b"%b: %b\r\n" % (name, value) for name, value in fields])
    if not _FIELDS.fullmatch(block) or block.count(b"\n") != len(fields):
        raise AppError("response header holds a character that would break the message")
    return fields, block, length, dated


def _sort_out(headers: Headers) -> tuple[Headers, bytes | None, bool]:
    """The fields that are not ours, the declared content-length, whether there is a date."""
    fields: Headers = []
    length: bytes | None = None
    dated = False
    for name, value in headers:
        if name in _OURS:
            continue
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise AppError("response content-length is not one number")
            length = value
            continue
        if name == b"date":
            dated = True
        fields.append((name, value))
    return fields, length, dated


class ResponseEncoder:
    """One response: feed it ASGI messages, send what comes out.

    The head waits for the first body message, so that both leave in one send. `started` is true
    once bytes came out, `done` after the last; `keep_alive` may be set to False until then, and
    says afterwards whether the connection can carry another request.
    """

    __slots__ = (
        "_chunked", "_date", "_head", "_headers", "_left", "_modern", "_silent", "_status",
        "done", "keep_alive", "started",
    )  # fmt: skip

    def __init__(self, method: str, version: str, keep_alive: bool, date: bytes) -> None:
        self._head = method == "HEAD"
        self._modern = version == "1.1"
        self._date = date
        self._status = 0
        self._headers: Headers = []
        self._silent = False  # no body bytes go out
        self._chunked = False
        self._left = -1  # declared bytes still to come; -1: not declared
        self.keep_alive = keep_alive
        self.started = False
        self.done = False

    def encode(self, message: Message) -> bytes:
        """Bytes that `message` puts on the wire, often none. Raises AppError."""
        kind = message["type"]
        if kind == "http.response.body":
            if not self._status:
                raise AppError("response body before its start")
            if self.done:
                raise AppError("response body after its end")
            return self._body(message.get("body", b""), message.get("more_body", False))
        if kind == "http.response.start":
            if self._status:
                raise AppError("response started twice")
            self._status, self._headers = parse_start(message)
            self.keep_alive = self.keep_alive and CLOSE not in self._headers
            return b""
        raise AppError("unknown kind of ASGI message")

    def _body(self, data: bytes, more: bool) -> bytes:
        head = b"" if self.started else self._make_head(len(data), more)
        if self._left >= 0 and not self._silent:
            left = self._left - len(data)
            if left < 0 or (left and not more):
                raise AppError("response body does not have its declared length")
            self._left = left
        self.started = True
        self.done = not more
        if self._silent:
            return head
        if self._chunked:
            return head + _chunk(data, self.done)
        return head + data

    def _make_head(self, size: int, more: bool) -> bytes:
        _, block, length, dated = split_headers(self._headers)
        framing = self._choose_framing(length, size, more)
        return b"".join((
            _status_line(self._status),
            block,
            b"" if dated else self._date,
            framing,
            self._connection(),
            b"\r\n",
        ))  # fmt: skip

    def _choose_framing(self, length: bytes | None, size: int, more: bool) -> bytes:
        """RFC 9112 section 6.3, from the sender's side."""
        if self._status in NO_BODY:
            self._silent = True
            return b""
        if self._head:
            self._silent = True
            if length is None and not more:
                length = b"%d" % size
        elif length is not None:
            self._left = int(length)
        elif not more:
            length = b"%d" % size
        if length is not None:
            return b"content-length: %b\r\n" % length
        if self._modern:
            self._chunked = not self._silent
            return b"transfer-encoding: chunked\r\n"
        self.keep_alive = False  # HTTP/1.0: the end of the connection ends the body
        return b""

    def _connection(self) -> bytes:
        if not self.keep_alive:
            return b"connection: close\r\n"
        return b"" if self._modern else b"connection: keep-alive\r\n"


def _status_line(status: int) -> bytes:
    line = _STATUS_LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d \r\n" % status


def _chunk(data: bytes, last: bool) -> bytes:
    if not data:  # an empty chunk would end the body
        return _LAST_CHUNK if last else b""
    return b"%x\r\n%b\r\n%b" % (len(data), data, _LAST_CHUNK if last else b"")


def encode_whole_response(
    status: int, headers: Headers, body: bytes, date: bytes, method: str = "GET"
) -> bytes:
    """A complete response that closes the connection, for what the server itself answers."""
    response = ResponseEncoder(method, "1.1", keep_alive=False, date=date)
    response.encode({"type": "http.response.start", "status": status, "headers": headers})
    return response.encode({"type": "http.response.body", "body": body})
