"""What protocols.http.h1_fields promises; its rules are tested through the reader (`test_h1`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.errors import RefusedError
from protocols.http.h1_fields import _body_length
from protocols.http.h1_parser import H1RequestParser, RequestHead
from protocols.http.limits import Limits

LIMITS = Limits(body_bytes=1000, header_count=5)
FIELDS = [
    b"Host: a", b"Host: b", b"host:a", b"Connection: close", b"Connection: keep-alive",
    b"Connection: Upgrade", b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: 4000",
    b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"X: 1", b"X: 2", b" X: 1", b"X : 1",
]  # fmt: skip
LINES = [
    b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1",
    b"GET http://a/y HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET / HTTP/3.0", b"G\xff / HTTP/1.1",
]  # fmt: skip
HEADS = st.builds(
    lambda line, fields: b"\r\n".join([line, *fields, b"", b""]),
    st.sampled_from(LINES),
    st.lists(st.sampled_from(FIELDS), max_size=6),
)


def told(reader: H1RequestParser, raw: bytes) -> object:
    """What the reader makes of a head: its fields, or the refusal."""
    reader.feed(raw)
    try:
        head = reader.next_head()
    except RefusedError as error:
        return error.status, error.code
    assert isinstance(head, RequestHead)
    body = type(head.body), getattr(head.body, "remaining", None), head.body.done
    return (
        head.method, head.target, head.version, head.headers, body, head.keep_alive,
        head.expects_continue, head.upgrade,
    )  # fmt: skip


@given(st.lists(HEADS, min_size=2, max_size=6))
def test_what_came_before_changes_nothing(heads: list[bytes]) -> None:
    """A reader that has a section in memory says of each head what a new one says."""
    reader = H1RequestParser(LIMITS)
    for raw in heads:
        assert told(reader, raw) == told(H1RequestParser(LIMITS), raw)


def test_each_request_has_a_body_and_headers_of_its_own() -> None:
    """What one of them does to either is not seen by the next."""
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    reader = H1RequestParser(LIMITS)
    for _ in range(3):
        reader.feed(raw)
        head = reader.next_head()
        assert head is not None
        assert [name for name, _ in head.headers] == [b"host", b"content-length"]
        assert reader.next_body(head.body) == b"abc"
        assert head.body.done
        head.headers.clear()


@pytest.mark.parametrize(
    ("lengths", "codings", "modern"),
    [
        ([b"3"], [b"chunked"], True),
        ([b"3", b"3"], [], True),
        ([], [b"chunked", b"chunked"], True),
        ([], [b"chunked"], False),
        ([b"x"], [], True),
    ],
)
def test_ambiguous_length_is_refused_without_llhttp_too(
    lengths: list[bytes], codings: list[bytes], modern: bool
) -> None:
    """Our own rules would hold if the parser's became lenient."""
    with pytest.raises(RefusedError) as refused:
        _body_length(lengths, codings, modern, LIMITS.body_bytes)
    assert refused.value.code == "bad_framing"
