"""What a decoded HTTP/2 header list must be before an application sees it (RFC 9113 section 8)."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from protocols.http.asgi import Headers
from protocols.http.errors import RefusedError
from protocols.http.h1_fields import AUTHORITY, TOKEN
from protocols.http.limits import Limits

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")  # lower case only: section 8.2.1
_VALUE = re.compile(rb"(?![\t ])[\t\x20-\x7e\x80-\xff]*+(?<![\t ])")
_METHOD = re.compile(TOKEN)
_TARGET = re.compile(rb"/[!-\"$-~]*+|\*")  # no fragment, no space, no control
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_HTTP1 = frozenset(  # section 8.2.2
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_OVERHEAD = 32  # what section 6.5.2 counts for a field beside its bytes


class H2Request(NamedTuple):
    """A vetted request; `host` comes first in its headers, cookies are joined.

    Several requests of a connection may share one: whoever changes the headers copies them first.
    """

    method: str
    target: bytes
    headers: Headers
    expects_continue: bool
    length: int  # declared bytes of the body; -1: not declared
    size: int  # of the header list without the target, as section 6.5.2 counts it


def vet_request(fields: Iterable[tuple[bytes, bytes]], limits: Limits) -> H2Request:
    """Apply sections 8.2 and 8.3 to a decoded header list.

    Raises RefusedError: 400 malformed, 413, 414, 431 too large, 417, 501.
    """
    pseudo, plain, size = _split(fields, limits)
    method, target, host = _start(pseudo, limits)
    headers: Headers = []
    single: dict[bytes, bytes] = {} if host is None else {b"host": host}
    cookies: list[bytes] = []
    for field in plain:
        name, value = field
        if name in _OF_HTTP1 or (name == b"te" and value.lower() != b"trailers"):
            raise _bad("header field belongs to HTTP/1.1 connections")
        if name == b"host":
            if single.setdefault(name, value).lower() != value.lower():
                raise _bad_host()
        elif name == b"cookie":
            cookies.append(value)
        else:
            if name in (b"content-length", b"expect") and single.setdefault(name, value) != value:
                raise _bad("header field is repeated")
            headers.append(field)
    host = single.get(b"host", b"")
    if not AUTHORITY.fullmatch(host):
        raise _bad_host()
    headers.insert(0, (b"host", host))
    if cookies:  # section 8.2.3
        headers.append((b"cookie", b"; ".join(cookies)))
    length = _length(single.get(b"content-length"), limits)
    expects = _expects_continue(single.get(b"expect"))
    return H2Request(method, target, headers, expects, length, size - len(target))


def with_target(request: H2Request, target: bytes, limits: Limits) -> H2Request:
    """The same request for another target, which is vetted. Raises RefusedError as vet_request."""
    method, _, headers, expects, length, size = request
    if size + len(target) > limits.header_bytes:
        raise _too_large()
    _check_target(target, method == "OPTIONS", limits)
    return H2Request(method, target, headers, expects, length, size)


def _split(
    fields: Iterable[tuple[bytes, bytes]], limits: Limits
) -> tuple[dict[bytes, bytes], Headers, int]:
    """Pseudo-header fields, each once and before all others; the others, clean; their size."""
    pseudo: dict[bytes, bytes] = {}
    plain: Headers = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + _OVERHEAD
        if name[:1] == b":":
            if plain or name in pseudo or name not in _PSEUDO:
                raise _bad("pseudo-header fields are malformed")
            pseudo[name] = value
        elif not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _bad("header field is malformed")
        else:
            plain.append((name, value))
    if size > limits.header_bytes:
        raise _too_large()
    if len(plain) > limits.header_count:
        raise RefusedError(431, "too_many_headers", "request has too many header fields")
    return pseudo, plain, size


def _start(pseudo: dict[bytes, bytes], limits: Limits) -> tuple[str, bytes, bytes | None]:
    """Method, target, and the authority if there is one."""
    method = pseudo.get(b":method", b"")
    target = pseudo.get(b":path", b"")
    if method == b"CONNECT":
        raise RefusedError(501, "connect", "CONNECT is not implemented")
    if not _METHOD.fullmatch(method) or pseudo.get(b":scheme") not in (b"https", b"http"):
        raise _bad("pseudo-header fields are malformed")
    _check_target(target, method == b"OPTIONS", limits)
    return method.decode("ascii"), target, pseudo.get(b":authority")


def _check_target(target: bytes, of_server: bool, limits: Limits) -> None:
    if len(target) > limits.request_line:
        raise RefusedError(414, "request_line_too_long", "request target is too long")
    if not _TARGET.fullmatch(target) or (target == b"*" and not of_server):
        raise _bad("request target is not acceptable")


def _length(length: bytes | None, limits: Limits) -> int:
    if length is None:
        return -1
    if not _LENGTH.fullmatch(length):
        raise RefusedError(400, "bad_framing", "request length is ambiguous")
    if int(length) > limits.body_bytes:
        raise RefusedError(413, "body_too_large", "request body is too large")
    return int(length)


def _expects_continue(expect: bytes | None) -> bool:
    """RFC 9110 section 10.1.1."""
    if expect is None:
        return False
    if expect.lower() != b"100-continue":
        raise RefusedError(417, "expectation", "only 100-continue can be expected")
    return True


def _too_large() -> RefusedError:
    return RefusedError(431, "header_too_large", "request header section is too large")


def _bad(message: str) -> RefusedError:
    return RefusedError(400, "malformed", message)


def _bad_host() -> RefusedError:
    return RefusedError(400, "bad_host", "request needs exactly one valid authority")
