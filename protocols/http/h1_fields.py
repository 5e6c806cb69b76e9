"""The header section of an HTTP/1.1 request, and what it says of the message (RFC 9112).

`_SECTION` is the whole grammar, so no bare CR or LF, NUL, obs-fold, or space before a colon gets
any further, and what is left to `_FIELD` is to split it. Framing and Host rules come after.
"""

import re

from protocols.http.errors import RefusedError
from protocols.http.h1_body import BodyDecoder, ChunkedBody, FixedLengthBody
from protocols.http.limits import Limits

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_SECTION = re.compile(rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")
_FIELD = re.compile(rb"([^\r\n:]++):[\t ]*+([^\r\n]*+)\r\n")
# RFC 3986 section 3.2.2 without user information: reg-name or IPv4, or an IP literal; a port.
AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~%!$&'()*+,;=]++)(?::[0-9]{0,5}+)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")  # 18 digits stay below 2^63
_NOTHING = FixedLengthBody(0)  # done from the start, so that all may share it


class HeaderSection:
    """The fields, names in lower case, and the rules that look at several of them.

    `host` is None where HTTP/1.0 left it out. `upgrade`: another protocol is offered. `sized`: the
    length of the body is given; otherwise there is none (RFC 9112 section 6.3).
    """

    __slots__ = (
        "_length", "_limit", "expects_continue", "headers", "host", "keep_alive", "modern", "raw",
        "sized", "upgrade",
    )  # fmt: skip

    def __init__(self, raw: bytes, limits: Limits, *, modern: bool) -> None:
        """`raw` is what follows the request line, `modern` that this is of HTTP/1.1.

        Raises RefusedError: 400 malformed or ambiguous, 413, 431 too many, 417, 501.
        """
        if not _SECTION.fullmatch(raw):
            raise RefusedError(400, "malformed", "header section is malformed")
        self.headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(raw)]
        if len(self.headers) > limits.header_count:
            raise RefusedError(431, "too_many_headers", "request has too many header fields")
        self.raw = raw
        self.modern = modern
        self._limit = limits.body_bytes
        self._frame()

    def body(self) -> BodyDecoder:
        """A body of this framing, of which nothing is read yet."""
        if self._length is None:
            return ChunkedBody(self._limit)
        return FixedLengthBody(self._length) if self._length else _NOTHING

    def _frame(self) -> None:
        modern = self.modern
        hosts: list[bytes] = []
        lengths: list[bytes] = []
        codings: list[bytes] = []
        connection = b""
        expect = b""
        for name, value in self.headers:
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
        self.host = _one_host(hosts, modern)
        self._length = _body_length(lengths, codings, modern, self._limit)
        self.keep_alive = (modern or b"keep-alive" in options) and b"close" not in options
        self.expects_continue = _expects_continue(expect, modern)
        self.upgrade = b"upgrade" in options
        self.sized = bool(lengths or codings)


def _one_host(hosts: list[bytes], modern: bool) -> bytes | None:
    """RFC 9112 section 3.2: exactly one valid Host; HTTP/1.0 may leave it out."""
    if len(hosts) == 1 and AUTHORITY.fullmatch(hosts[0]):
        return hosts[0]
    if not hosts and not modern:
        return None
    raise RefusedError(400, "bad_host", "request needs exactly one valid Host")


def _body_length(
    lengths: list[bytes], codings: list[bytes], modern: bool, limit: int
) -> int | None:
    """RFC 9112 section 6.3, refusing whatever two readers could measure differently; None: chunks.

    Refused are both fields, either one twice, a list of lengths, another coding, chunks in 1.0.
    """
    if codings:
        if lengths or len(codings) > 1 or not modern:
            raise RefusedError(400, "bad_framing", "request length is ambiguous")
        if codings[0].lower() != b"chunked":
            raise RefusedError(501, "transfer_coding", "only the chunked coding is implemented")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RefusedError(400, "bad_framing", "request length is ambiguous")
    length = int(lengths[0])
    if length > limit:
        raise RefusedError(413, "body_too_large", "request body is too large")
    return length


def _expects_continue(expect: bytes, modern: bool) -> bool:
    """RFC 9110 section 10.1.1: HTTP/1.0's is ignored, an unknown one is refused."""
    if not expect or not modern:
        return False
    if expect != b"100-continue":
        raise RefusedError(417, "expectation", "only 100-continue can be expected")
    return True
