"""What protocols.http.h1_body promises."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.errors import RefusedError
from protocols.http.h1_body import ChunkedBody, FixedLengthBody

LIMIT = 100_000


def decode(data: bytes, *, step: int = 0, limit: int = LIMIT) -> tuple[bytes, bytes, bool]:
    """Body, rest and whether the body ended, of `data` fed `step` bytes at a time."""
    body = ChunkedBody(limit)
    out = b""
    position = 0
    while position < len(data) and not body.done:
        piece = data[position : position + step] if step else data[position:]
        decoded, rest = body.decode(piece)
        out += decoded
        position += len(piece) - len(rest)
    return out, data[position:], body.done


def chunks(*pieces: bytes) -> bytes:
    """A whole chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_fixed_body_ends_where_it_was_declared_to() -> None:
    """Bytes after a declared length belong to the next request."""
    body = FixedLengthBody(5)
    assert body.decode(b"abc") == (b"abc", b"")
    assert not body.done
    assert body.decode(b"deGET /") == (b"de", b"GET /")
    assert body.done


def test_fixed_body_of_nothing_is_done_at_once() -> None:
    """A request without a body takes no byte."""
    assert FixedLengthBody(0).done


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_chunks_are_joined_however_they_are_cut(step: int) -> None:
    """TCP may cut anywhere; the body is the same."""
    data = chunks(b"hello", b"\r\n0\r\n\r\n", b"x" * 300) + b"GET / HTTP/1.1\r\n"
    body, rest, done = decode(data, step=step)
    assert (body, done) == (b"hello\r\n0\r\n\r\n" + b"x" * 300, True)
    assert rest == b"GET / HTTP/1.1\r\n"


def test_extensions_and_trailers_are_dropped() -> None:
    """RFC 9112 sections 7.1.1 and 7.1.2: both may be ignored, and are."""
    data = b'3;name="v;w"\r\nabc\r\n0\r\nX-Check: 1\r\nY: 2\r\n\r\nrest'
    assert decode(data) == (b"abc", b"rest", True)


@pytest.mark.parametrize(
    "data",
    [
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"-1\r\n",
        b"3 \r\nabc\r\n",
        b"3 ;a=b\r\nabc\r\n",
        b"3;\r\nabc\r\n",
        b'3;"\r\nabc\r\n',
        b'3;a="\r\nabc\r\n',
        b'3;a="b"c\r\nabc\r\n',
        b" 3\r\nabc\r\n",
        b"\r\nabc\r\n",
        b"g\r\n",
        b"123456789\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3;a\nb\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\x00b\r\nabc\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"3;" + b"a" * 2000,
        b"0\r\n" + b"X: " + b"y" * 2000,
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_anything_but_the_grammar_is_refused(data: bytes, step: int) -> None:
    """Two readers of an odd chunk could see two messages; there is no second reading here."""
    with pytest.raises(RefusedError) as refused:
        decode(data, step=step)
    assert refused.value.status == 400


def test_body_above_the_limit_is_refused_before_its_bytes() -> None:
    """A chunk's size alone is enough to refuse: memory never holds more than the limit."""
    body = ChunkedBody(10)
    assert body.decode(b"a\r\n0123456789\r\n") == (b"0123456789", b"")
    with pytest.raises(RefusedError) as refused:
        body.decode(b"1\r\n")
    assert refused.value.status == 413


def test_tiny_chunks_are_refused_after_a_while() -> None:
    """A client cannot make us work hundreds of times as much as it does."""
    with pytest.raises(RefusedError) as refused:
        decode(b"1\r\nx\r\n" * 1_100)
    assert refused.value.code == "bad_chunk"
    data = chunks(*[b"x" * 64] * 1_500)
    assert decode(data)[2]


def test_trailers_are_bounded_together() -> None:
    """Many short trailers are refused like one long one."""
    with pytest.raises(RefusedError) as refused:
        decode(b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 300)
    assert refused.value.status == 431


class _Oracle:
    """httptools' reading of one chunked request."""

    def __init__(self, data: bytes) -> None:
        self.body = b""
        self.complete = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


_bits = b'0|1|3|a|A|abc|\r\n|\r|\n|;|;x=y|;x="|=|\\|"| |\t|X: y|:|\x00|\xe9'.split(b"|")
_pieces = st.sampled_from([*_bits, b"0\r\n\r\n", b"3\r\nabc\r\n"])


@given(st.lists(_pieces, max_size=14).map(b"".join), st.integers(1, 5))
def test_what_we_accept_llhttp_reads_the_same(data: bytes, step: int) -> None:
    """Whatever passes here, another strict reader takes for the same body, of the same extent."""
    try:
        body, rest, done = decode(data, step=step)
    except RefusedError:
        return
    if done:
        oracle = _Oracle(data[: len(data) - len(rest)])
        assert (oracle.body, oracle.complete) == (body, True)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20), st.integers(1, 50))
def test_what_was_sent_comes_out(pieces: list[bytes], step: int) -> None:
    """Decoding undoes encoding."""
    body, rest, done = decode(chunks(*pieces) + b"next", step=step)
    assert (body, done) == (b"".join(pieces), True)
    assert rest.endswith(b"next")
