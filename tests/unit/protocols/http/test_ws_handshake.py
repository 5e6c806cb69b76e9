"""What protocols.http.ws_handshake promises."""

import pytest

from protocols.http.errors import AppError, RefusedError
from protocols.http.h1_parser import H1RequestParser, RequestHead
from protocols.http.limits import Limits
from protocols.http.ws_handshake import (
    acceptance,
    check_offer,
    offered_subprotocols,
    offers_websocket,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
OFFER = (
    b"Host: a",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)


def offer(*more: bytes, start: bytes = b"GET /x HTTP/1.1", without: bytes = b"-") -> RequestHead:
    """A head with an offer, less the lines that begin with `without`."""
    lines = [line for line in OFFER if not line.startswith(without)]
    reader = H1RequestParser(Limits())
    reader.feed(b"\r\n".join([start, *lines, *more, b"", b""]))
    head = reader.next_head()
    assert head is not None
    return head


def test_the_rfcs_own_example_is_accepted() -> None:
    """The accept value is the one that RFC 6455 section 1.3 computes."""
    head = offer()
    assert offers_websocket(head)
    answer = acceptance(check_offer(head), None, [], [], b"")
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize(
    "without", [b"Connection", b"Upgrade"], ids=["no connection option", "no upgrade"]
)
def test_half_an_offer_is_none(without: bytes) -> None:
    """Both fields are needed; the request is an ordinary one then."""
    assert not offers_websocket(offer(without=without))


def test_another_protocol_is_no_offer_of_ours() -> None:
    """An h2c offer may be ignored."""
    assert not offers_websocket(offer(b"Upgrade: h2c", without=b"Upgrade"))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (offer(start=b"POST /x HTTP/1.1"), 400),
        (offer(start=b"GET /x HTTP/1.0"), 400),
        (offer(b"Content-Length: 3"), 400),
        (offer(without=b"Sec-WebSocket-Key"), 400),
        (offer(b"Sec-WebSocket-Key: " + KEY), 400),
        (offer(b"Sec-WebSocket-Key: AAAA", without=b"Sec-WebSocket-Key"), 400),
        (offer(b"Sec-WebSocket-Key: " + b"A" * 24, without=b"Sec-WebSocket-Key"), 400),
        (offer(without=b"Sec-WebSocket-Version"), 426),
        (offer(b"Sec-WebSocket-Version: 8", without=b"Sec-WebSocket-Version"), 426),
    ],
)
def test_an_offer_that_does_not_hold_is_refused(head: RequestHead, status: int) -> None:
    """Method, version, body, key and websocket's version each have to be right."""
    with pytest.raises(RefusedError) as refused:
        check_offer(head)
    assert refused.value.status == status


def test_a_refused_version_says_which_one_is_spoken() -> None:
    """RFC 6455 section 4.2.2: the answer names the version."""
    with pytest.raises(RefusedError) as refused:
        check_offer(offer(b"Sec-WebSocket-Version: 8", without=b"Sec-WebSocket-Version"))
    assert list(refused.value.headers) == [(b"sec-websocket-version", b"13")]


def test_subprotocols_are_tokens_of_all_fields() -> None:
    """In their order, without spaces; anything else is refused."""
    head = offer(b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: c")
    assert offered_subprotocols(head) == ["a", "b", "c"]
    with pytest.raises(RefusedError):
        offered_subprotocols(offer(b'Sec-WebSocket-Protocol: a, "b c"'))


def test_only_an_offered_subprotocol_can_be_chosen() -> None:
    """Another one would be the application's fault, and a client had to fail."""
    assert b"sec-websocket-protocol: b\r\n" in acceptance(KEY, "b", ["a", "b"], [], b"")
    with pytest.raises(AppError):
        acceptance(KEY, "c", ["a", "b"], [], b"")


def test_a_header_cannot_break_the_answer() -> None:
    """A line break in a header of the application's is its fault."""
    assert b"x-a: 1\r\n" in acceptance(KEY, None, [], [(b"x-a", b"1")], b"")
    with pytest.raises(AppError):
        acceptance(KEY, None, [], [(b"x-a", b"1\r\nx-b: 2")], b"")
