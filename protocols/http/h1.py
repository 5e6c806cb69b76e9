"""HTTP/1.1 requests out of bytes (RFC 9112), without I/O.

`_HEAD` is the whole grammar of a head, so no bare CR or LF, NUL, obs-fold, or space before a colon
gets any further, and what is left to `_FIELD` is to split it. Framing and Host rules come after.
Tests hold the outcome against llhttp's (decision 0039).
"""

import re
from dataclasses import dataclass

from protocols.http.chunked import Body, ChunkedBody, FixedBody
from protocols.http.errors import RefusedError
from protocols.http.limits import Limits
from protocols.http.scope import Headers

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"(" + TOKEN + rb") ([!-~]++) HTTP/([0-9]\.[0-9])\r\n"
    rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n"
)
_FIELD = re.compile(rb"([^\r\n:]++):[\t ]*+([^\r\n]*+)\r\n")
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]++) HTTP/([0-9]\.[0-9])\r\n")
_START = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z\r]")
_NEVER_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
# RFC 3986 section 3.2.2 without user information: reg-name or IPv4, or an IP literal; a port.
AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~%!$&'()*+,;=]++)(?::[0-9]{0,5}+)?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]++)(/[^#]*+|\?[^#]*+|)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")  # 18 digits stay below 2^63
_END = b"\r\n\r\n"
_NOTHING = FixedBody(0)  # done from the start, so that all may share it


@dataclass(slots=True)
class RequestHead:
    """A vetted request head. `target` is in origin form or `*`; names are in lower case."""

    method: str
    target: bytes
    version: str
    headers: Headers
    body: Body
    keep_alive: bool
    expects_continue: bool
    upgrade: bool = False  # another protocol is offered


class RequestReader:
    """Turns the bytes of one connection into heads and bodies, one request at a time."""

    __slots__ = ("_buffer", "_limits", "_scanned")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = b""
        self._scanned = 0

    @property
    def pending(self) -> int:
        """Bytes received and not yet used."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_head(self) -> RequestHead | None:
        """The next request's head, or None until all of it is here. Raises RefusedError."""
        buffer = self._buffer
        if not buffer:
            return None
        if buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2: one is forgiven
            if len(buffer) == 2:  # noqa: PLR2004 - CR LF
                return None
            buffer = self._buffer = buffer[2:]
        end = buffer.find(_END, max(0, self._scanned - 3))
        if end < 0:
            self._check_partial(buffer)
            self._scanned = len(buffer)
            return None
        end += 4
        self._scanned = 0
        if end > self._limits.header_bytes:
            raise self._oversize(buffer)
        self._buffer = buffer[end:]
        return parse_head(buffer[:end], self._limits)

    def rest(self) -> bytes:
        """What is not used yet: it is another protocol's from here on."""
        data, self._buffer = self._buffer, b""
        return data

    def next_body(self, body: Body) -> bytes:
        """What of `body` is here already; b"" when more must be received. Raises RefusedError."""
        if not self._buffer:
            return b""
        data, self._buffer = body.decode(self._buffer)
        return data

    def _check_partial(self, buffer: bytes) -> None:
        """Refuse early what can never become a head, so that it need not run into a time-out."""
        if not self._scanned and not _START.match(buffer):
            raise _bad("request line is malformed")
        # What was scanned was fine, but its last CR still waits for its LF.
        begin = self._scanned - buffer.endswith(b"\r", 0, self._scanned)
        if _NEVER_IN_HEAD.search(buffer, begin):
            raise _bad("head holds a forbidden control character")
        if len(buffer) > self._limits.header_bytes or (
            len(buffer) > self._limits.request_line + 2 and b"\r\n" not in buffer
        ):
            raise self._oversize(buffer)

    def _oversize(self, buffer: bytes) -> RefusedError:
        line = buffer.find(b"\r\n")
        if line < 0 or line > self._limits.request_line:
            return RefusedError(414, "request_line_too_long", "request line is too long")
        return RefusedError(431, "header_too_large", "request header section is too large")


def parse_head(raw: bytes, limits: Limits) -> RequestHead:
    """Vet and split one whole head, blank line included.

    Raises RefusedError: 400 malformed or ambiguous, 413, 414, 431 too large, 417, 501, 505.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise _why_malformed(raw)
    method, target, version = match.groups()
    if len(method) + len(target) + 10 > limits.request_line:  # two spaces, HTTP/x.y
        raise RefusedError(414, "request_line_too_long", "request line is too long")
    if version not in (b"1.1", b"1.0"):
        raise RefusedError(505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method == b"CONNECT":
        raise RefusedError(501, "connect", "CONNECT is not implemented")
    headers = [
        (name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(raw, match.end(3))
    ]
    if len(headers) > limits.header_count:
        raise RefusedError(431, "too_many_headers", "request has too many header fields")
    return _frame(method, target, version == b"1.1", headers, limits)


def _frame(
    method: bytes, target: bytes, modern: bool, headers: Headers, limits: Limits
) -> RequestHead:
    """Apply the rules that look at fields together: Host, length, connection, expectation."""
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connection = b""
    expect = b""
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            connection += b"," + value.lower()
        elif name == b"expect":
            expect = value.lower()
    options = {option.strip(b" \t") for option in connection.split(b",")} if connection else ()
    return RequestHead(
        method=method.decode("ascii"),
        target=_origin_form(method, target, _one_host(hosts, modern)),
        version="1.1" if modern else "1.0",
        headers=headers,
        body=_body(lengths, codings, modern, limits),
        keep_alive=(modern or b"keep-alive" in options) and b"close" not in options,
        expects_continue=_expects_continue(expect, modern),
        upgrade=b"upgrade" in options,
    )


def _one_host(hosts: list[bytes], modern: bool) -> bytes | None:
    """RFC 9112 section 3.2: exactly one valid Host; HTTP/1.0 may leave it out."""
    if len(hosts) == 1 and AUTHORITY.fullmatch(hosts[0]):
        return hosts[0]
    if not hosts and not modern:
        return None
    raise RefusedError(400, "bad_host", "request needs exactly one valid Host")


def _origin_form(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """RFC 9112 section 3.2; an absolute form must name the same authority as Host."""
    if target[:1] == b"/":
        if b"#" in target:
            raise _bad("request target holds a fragment")
        return target
    if target == b"*" and method == b"OPTIONS":
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None or (host is not None and match[2].lower() != host.lower()):
        raise _bad("request target is not acceptable")
    rest = match[3]
    return rest if rest[:1] == b"/" else b"/" + rest


def _body(lengths: list[bytes], codings: list[bytes], modern: bool, limits: Limits) -> Body:
    """Apply RFC 9112 section 6.3, refusing whatever two readers could measure differently.

    That is: both fields, either one twice, a list of lengths, another coding, chunks in 1.0.
    """
    if codings:
        if lengths or len(codings) > 1 or not modern:
            raise RefusedError(400, "bad_framing", "request length is ambiguous")
        if codings[0].lower() != b"chunked":
            raise RefusedError(501, "transfer_coding", "only the chunked coding is implemented")
        return ChunkedBody(limits.body_bytes)
    if not lengths:
        return _NOTHING
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RefusedError(400, "bad_framing", "request length is ambiguous")
    length = int(lengths[0])
    if length > limits.body_bytes:
        raise RefusedError(413, "body_too_large", "request body is too large")
    return FixedBody(length)


def _expects_continue(expect: bytes, modern: bool) -> bool:
    """RFC 9110 section 10.1.1: HTTP/1.0's is ignored, an unknown one is refused."""
    if not expect or not modern:
        return False
    if expect != b"100-continue":
        raise RefusedError(417, "expectation", "only 100-continue can be expected")
    return True


def _why_malformed(raw: bytes) -> RefusedError:
    if _REQUEST_LINE.match(raw):
        return _bad("header section is malformed")
    return _bad("request line is malformed")


def _bad(message: str) -> RefusedError:
    return RefusedError(400, "malformed", message)
