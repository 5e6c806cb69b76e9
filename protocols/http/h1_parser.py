"""HTTP/1.1 requests out of bytes (RFC 9112), without I/O.

The requests of a client differ in their first line. What follows it is read once, and known again
by its bytes (decision 2). Tests hold the outcome against llhttp's (decision 2).
"""

import re
from dataclasses import dataclass

from protocols.http.asgi import Headers
from protocols.http.errors import RefusedError
from protocols.http.h1_body import BodyDecoder
from protocols.http.h1_fields import AUTHORITY, TOKEN, HeaderSection
from protocols.http.limits import Limits

_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]++) HTTP/([0-9]\.[0-9])\r\n")
_START = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z\r]")
_NEVER_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]++)(/[^#]*+|\?[^#]*+|)", re.IGNORECASE)
_END = b"\r\n\r\n"
_KEPT = 2048  # bytes of a section that is kept; what is longer is read each time


@dataclass(slots=True)
class RequestHead:
    """A vetted request head. `target` is in origin form or `*`; names are in lower case."""

    method: str
    target: bytes
    version: str
    headers: Headers
    body: BodyDecoder
    keep_alive: bool
    expects_continue: bool
    upgrade: bool = False  # another protocol is offered
    sized: bool = True  # the length of its body is given


class H1RequestParser:
    """Turns the bytes of one connection into heads and bodies, one request at a time."""

    __slots__ = ("_buffer", "_limits", "_scanned", "_section", "_secure")

    def __init__(self, limits: Limits, *, secure: bool = True) -> None:
        """`secure`: the bytes come over TLS, so a target may be of the scheme `https`."""
        self._limits = limits
        self._secure = secure
        self._section: HeaderSection | None = None  # of the request before
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
        return self._head(buffer[:end])

    def take_remaining(self) -> bytes:
        """What is not used yet: it is another protocol's from here on."""
        data, self._buffer = self._buffer, b""
        return data

    def next_body(self, body: BodyDecoder) -> bytes:
        """What of `body` is here already; b"" when more must be received. Raises RefusedError."""
        if not self._buffer:
            return b""
        data, self._buffer = body.decode(self._buffer)
        return data

    def _head(self, raw: bytes) -> RequestHead:
        """Vet and split one whole head, blank line included.

        Raises RefusedError: 400 malformed or ambiguous, 413, 414, 431 too large, 417, 421, 501,
        505.
        """
        line = _REQUEST_LINE.match(raw)
        if line is None:
            raise _bad("request line is malformed")
        method, target, version = line.groups()
        if line.end() - 2 > self._limits.request_line:
            raise RefusedError(414, "request_line_too_long", "request line is too long")
        if version not in (b"1.1", b"1.0"):
            raise RefusedError(505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
        if method == b"CONNECT":
            raise RefusedError(501, "connect", "CONNECT is not implemented")
        section = self._read_section(raw[line.end() :], modern=version == b"1.1")
        headers = list(section.headers)
        if target[:1] != b"/" and target != b"*":
            target, authority = self._absolute_form(method, target)
            headers = [(b"host", authority), *(pair for pair in headers if pair[0] != b"host")]
        else:
            _check_origin_form(method, target)
        return RequestHead(
            method=method.decode("ascii"),
            target=target,
            version="1.1" if section.modern else "1.0",
            headers=headers,
            body=section.body(),
            keep_alive=section.keep_alive,
            expects_continue=section.expects_continue,
            upgrade=section.upgrade,
            sized=section.sized,
        )

    def _absolute_form(self, method: bytes, target: bytes) -> tuple[bytes, bytes]:
        """Origin form and authority of an absolute form, which takes Host's place (3.2.2)."""
        match = _ABSOLUTE.fullmatch(target)
        if match is None or not AUTHORITY.fullmatch(match[2]):
            raise _bad("request target is not acceptable")
        scheme, authority, rest = match.groups()
        if scheme.lower() == b"https" and not self._secure:  # RFC 9110 section 7.4
            raise RefusedError(421, "misdirected", "https is not spoken on this connection")
        if not rest and method == b"OPTIONS":  # section 3.2.4
            return b"*", authority
        return rest if rest[:1] == b"/" else b"/" + rest, authority

    def _read_section(self, raw: bytes, *, modern: bool) -> HeaderSection:
        section = self._section
        if section is None or section.raw != raw or section.modern is not modern:
            section = HeaderSection(raw, self._limits, modern=modern)
            self._section = section if len(raw) <= _KEPT else None
        return section

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


def _check_origin_form(method: bytes, target: bytes) -> None:
    """RFC 9112 sections 3.2.1 and 3.2.4."""
    if b"#" in target:
        raise _bad("request target holds a fragment")
    if target == b"*" and method != b"OPTIONS":
        raise _bad("request target is not acceptable")


def _bad(message: str) -> RefusedError:
    return RefusedError(400, "malformed", message)
