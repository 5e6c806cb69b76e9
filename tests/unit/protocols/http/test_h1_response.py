"""What protocols.http.h1_response promises."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.asgi import Headers
from protocols.http.errors import AppError
from protocols.http.h1_response import (
    ResponseEncoder,
    encode_whole_response,
    parse_start,
    split_headers,
)

DATE = b"date: Tue, 24 Nov 2026 16:00:00 GMT\r\n"


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, object]:
    """The message that starts a response."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, object]:
    """The message that carries a body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def respond(
    *messages: dict[str, object],
    method: str = "GET",
    version: str = "1.1",
    keep_alive: bool = True,
) -> tuple[bytes, ResponseEncoder]:
    """What these messages put on the wire."""
    response = ResponseEncoder(method, version, keep_alive=keep_alive, date=b"")
    return b"".join([response.encode(message) for message in messages]), response


def test_whole_answer_is_one_piece_with_its_length() -> None:
    """Nothing leaves before the first body; then head and body leave together."""
    response = ResponseEncoder("GET", "1.1", keep_alive=True, date=DATE)
    assert response.encode(start(200, (b"content-type", b"text/plain"))) == b""
    assert response.encode(body(b"hello")) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
        + DATE
        + b"content-length: 5\r\n\r\nhello"
    )
    assert (response.started, response.done, response.keep_alive) == (True, True, True)


def test_stream_without_length_is_chunked() -> None:
    """HTTP/1.1 frames what it cannot count; an empty piece must not end it."""
    data, response = respond(
        start(), body(b"ab", more=True), body(b"", more=True), body(b"c" * 16, more=True), body()
    )
    assert data == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n10\r\ncccccccccccccccc\r\n0\r\n\r\n"
    )
    assert response.keep_alive


def test_last_piece_and_end_leave_together() -> None:
    """One send for the last chunk and the end."""
    data, _ = respond(start(), body(b"", more=True), body(b"x"))
    assert data.endswith(b"1\r\nx\r\n0\r\n\r\n")


def test_stream_to_http_1_0_ends_with_the_connection() -> None:
    """HTTP/1.0 knows no chunks."""
    data, response = respond(start(), body(b"ab", more=True), body(b"c"), version="1.0")
    assert data == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert not response.keep_alive


def test_http_1_0_is_told_that_it_may_stay() -> None:
    """Keeping is the exception there, so it is said."""
    data, _ = respond(start(), body(b"x"), version="1.0")
    assert b"connection: keep-alive\r\n" in data


def test_declared_length_is_kept() -> None:
    """The application's content-length frames the body."""
    data, _ = respond(start(200, (b"content-length", b"3")), body(b"ab", more=True), body(b"c"))
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    "bodies",
    [[body(b"abcd")], [body(b"ab")], [body(b"ab", more=True), body(b"cd")], [body()]],
)
def test_body_that_betrays_its_length_is_our_fault(bodies: list[dict[str, object]]) -> None:
    """A wrong length would shift every later answer: it raises before it is sent."""
    response = ResponseEncoder("GET", "1.1", keep_alive=True, date=b"")
    response.encode(start(200, (b"content-length", b"3")))
    with pytest.raises(AppError):
        list(map(response.encode, bodies))
    assert not response.done


def test_head_has_the_headers_of_get_and_no_body() -> None:
    """RFC 9110 section 9.3.2."""
    data, _ = respond(start(), body(b"hello"), method="HEAD")
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    data, _ = respond(start(200, (b"content-length", b"9")), body(), method="HEAD")
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    data, response = respond(start(), body(b"x", more=True), body(b"y"), method="HEAD")
    assert data == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert response.done


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body_have_neither_body_nor_length(status: int) -> None:
    """RFC 9110 section 6.4.1; a stray body would be taken for the next answer."""
    data, response = respond(start(status, (b"content-length", b"3")), body(b"abc"))
    assert data.split(b"\r\n")[1:] == [b"", b""]
    assert response.keep_alive


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\x00b"),
        (b"x\r\ny", b"z"),
        (b"x y", b"z"),
        (b"", b"z"),
        (b"x:", b"z"),
    ],
)
def test_header_cannot_start_another(name: bytes, value: bytes) -> None:
    """Response splitting is refused, whoever the value came from."""
    with pytest.raises(AppError):
        split_headers([(name, value)])
    with pytest.raises(AppError):
        respond(start(200, (name, value)), body())


def test_connection_is_not_the_applications() -> None:
    """Hop-by-hop fields from the application are dropped: framing is ours."""
    ours: Headers = [
        (b"connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"keep-alive", b"1"),
        (b"upgrade", b"x"),
    ]
    data, _ = respond(start(200, *ours), body(b"x"))
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"


def test_the_application_may_end_the_connection() -> None:
    """It says so once, and nothing else comes on this connection."""
    data, response = respond(start(503, (b"connection", b"close")), body(b"x"))
    assert data.count(b"connection: close\r\n") == 1
    assert not response.keep_alive


def test_date_of_the_application_wins() -> None:
    """There is one Date."""
    response = ResponseEncoder("GET", "1.1", keep_alive=True, date=DATE)
    response.encode(start(200, (b"date", b"x")))
    assert response.encode(body()).count(b"date:") == 1


@pytest.mark.parametrize("lengths", [[b"1", b"1"], [b"x"], [b""], [b"-1"]])
def test_content_length_is_one_number(lengths: list[bytes]) -> None:
    """What we would refuse from a client we do not send either."""
    with pytest.raises(AppError):
        respond(start(200, *[(b"content-length", length) for length in lengths]), body(b"x"))


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, "200", None])
def test_status_is_a_final_one(status: object) -> None:
    """Informational answers are the server's; others do not exist."""
    with pytest.raises(AppError):
        parse_start({"status": status})


@pytest.mark.parametrize(
    "messages",
    [
        [body()],
        [start(), start()],
        [start(), body(), body()],
        [{"type": "http.response.trailers"}],
    ],
)
def test_messages_out_of_order_are_our_fault(messages: list[dict[str, object]]) -> None:
    """The ASGI contract is checked, not assumed."""
    with pytest.raises(AppError):
        respond(*messages)


def test_unknown_status_has_an_empty_reason() -> None:
    """RFC 9112 section 4: the space stays."""
    assert respond(start(473), body())[0].startswith(b"HTTP/1.1 473 \r\n")  # Vault's standby


def test_own_answers_close() -> None:
    """What the server answers itself is the last on its connection; HEAD stays without body."""
    data = encode_whole_response(400, [(b"content-type", b"a/b")], b"{}", DATE)
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: a/b\r\n" + DATE)
    assert data.endswith(b"content-length: 2\r\nconnection: close\r\n\r\n{}")
    assert encode_whole_response(400, [], b"{}", b"", "HEAD").endswith(b"\r\n\r\n")


class _Reader:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def on_message_begin(self) -> None:
        self.bodies.append(b"")

    def on_body(self, data: bytes) -> None:
        self.bodies[-1] += data


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=5))
def test_answers_in_a_row_are_read_as_they_were_meant(answers: list[list[bytes]]) -> None:
    """The parser llhttp reads from the wire what the application wrote, answer by answer."""
    reader = _Reader()
    parser = httptools.HttpResponseParser(reader)
    for pieces in answers:
        messages = [body(piece, more=True) for piece in pieces[:-1]] + [body(pieces[-1])]
        parser.feed_data(respond(start(), *messages)[0])
    assert reader.bodies == [b"".join(pieces) for pieces in answers]
