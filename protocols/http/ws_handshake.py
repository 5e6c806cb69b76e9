"""The opening handshake of a websocket (RFC 6455 section 4.2), from a vetted request head. Pure."""

import binascii
import re
from base64 import b64decode
from typing import Final

from wsproto.utilities import generate_accept_token

from protocols.http.asgi import Headers
from protocols.http.errors import AppError, RefusedError
from protocols.http.h1_fields import TOKEN
from protocols.http.h1_parser import RequestHead
from protocols.http.h1_response import split_headers

_VERSION: Final = b"13"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_NONCE: Final = 16  # bytes of the key: section 4.1, 7
_NAME: Final = re.compile(TOKEN)


def offers_websocket(head: RequestHead) -> bool:
    """Whether the client would like to speak websocket; other offers may be ignored."""
    return head.upgrade and b"websocket" in (word.lower() for word in _words(head, b"upgrade"))


def check_offer(head: RequestHead) -> bytes:
    """The key of an offer that can be accepted. Raises RefusedError: 400, 426."""
    if head.method != "GET" or head.version != "1.1" or not head.body.done:
        raise _bad("a websocket begins with a GET of HTTP/1.1 without a body")
    if _values(head, b"sec-websocket-version") != [_VERSION]:
        spoken = [(b"sec-websocket-version", _VERSION)]
        raise RefusedError(426, "websocket_version", "only version 13 is spoken here", spoken)
    keys = _values(head, b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]) or len(_decoded(keys[0])) != _NONCE:
        raise _bad("a websocket needs one key of 16 bytes")
    return keys[0]


def offered_subprotocols(head: RequestHead) -> list[str]:
    """What the client offers to speak inside. Raises RefusedError for what is no list of tokens."""
    offered = _words(head, b"sec-websocket-protocol")
    if not all(_NAME.fullmatch(word) for word in offered):
        raise _bad("a subprotocol has to be a token")
    return [word.decode("ascii") for word in offered]


def acceptance(
    key: bytes, chosen: str | None, offered: list[str], headers: Headers, date: bytes
) -> bytes:
    """The whole 101. Raises AppError for a subprotocol that was not offered, or a bad header."""
    if chosen is not None and chosen not in offered:
        raise AppError("the client did not offer this subprotocol")
    _, block, _, _ = split_headers(headers)
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
        b"sec-websocket-accept: %b\r\n" % generate_accept_token(key),
        b"" if chosen is None else b"sec-websocket-protocol: %b\r\n" % chosen.encode("ascii"),
        date,
        block,
        b"\r\n",
    ]
    return b"".join(lines)


def _values(head: RequestHead, wanted: bytes) -> list[bytes]:
    return [value.strip(b" \t") for name, value in head.headers if name == wanted]


def _words(head: RequestHead, wanted: bytes) -> list[bytes]:
    listed = b",".join(_values(head, wanted))
    return [word for part in listed.split(b",") if (word := part.strip(b" \t"))]


def _decoded(key: bytes) -> bytes:
    try:
        return b64decode(key, validate=True)
    except binascii.Error:
        return b""


def _bad(message: str) -> RefusedError:
    return RefusedError(400, "websocket", message)
