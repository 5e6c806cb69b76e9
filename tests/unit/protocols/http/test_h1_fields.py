"""What protocols.http.h1_fields promises; its rules are tested through the reader (`test_h1`)."""

import pytest

from protocols.http.errors import RefusedError
from protocols.http.h1_fields import _body_length
from protocols.http.h1_parser import H1RequestParser
from protocols.http.limits import Limits

LIMITS = Limits(body_bytes=1000, header_count=5)


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
