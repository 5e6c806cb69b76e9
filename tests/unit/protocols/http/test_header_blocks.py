"""Header blocks: any decoder reads ours, and what is remembered is what was meant."""

import pytest
from hpack import Decoder, Encoder
from hpack.hpack import encode_integer
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.asgi import Headers
from protocols.http.errors import ProtocolViolationError, RefusedError
from protocols.http.h2_frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM
from protocols.http.h2_request import H2Request, vet_request
from protocols.http.header_blocks import HeaderBlockDecoder, HeaderBlockEncoder
from protocols.http.limits import Limits

NAMES = st.sampled_from([b"content-type", b"cache-control", b"x-a", b"via", b"x" * 200])
VALUES = st.one_of(st.sampled_from([b"200", b"404", b"", b"v" * 127, b"w" * 9_000]), st.binary())
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
LIMITS = Limits()
HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)

METHODS = st.sampled_from([b"GET", b"POST", b"LIST", b"OPTIONS", b"G T"])
PATHS = st.sampled_from([b"/", b"*", b"", b"/v1/secret/data/a", b"/b?c=%41", b"/a b", b"/" * 200])
EXTRA = st.lists(
    st.tuples(st.sampled_from([b"x-vault-token", b"accept", b"X"]), st.sampled_from([b"1", b"22"])),
    max_size=3,
)


def fields(method: bytes, path: bytes, more: Headers) -> Headers:
    """A header list."""
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", b"a"),
        *more,
    ]


def without_indexing(path: bytes, *, huffman: bool) -> bytes:
    """The path as a literal of RFC 7541 section 6.2.2."""
    text = HUFFMAN.encode(path) if huffman else path
    length = encode_integer(len(text), 7)
    length[0] |= 0x80 * huffman
    return b"\x04" + bytes(length) + text


def code(request: H2Request | RefusedError) -> H2Request | str:
    """A refusal by its code."""
    return request if isinstance(request, H2Request) else request.code


def meant(headers: Headers) -> H2Request | str:
    """The request that these fields are."""
    try:
        return vet_request(headers, LIMITS)
    except RefusedError as error:
        return error.code


@given(st.lists(st.tuples(st.integers(200, 599), LISTS), min_size=1, max_size=4))
def test_every_decoder_reads_it(blocks: list[tuple[int, Headers]]) -> None:
    """Whatever the fields, their order and their length, a decoder finds them as they were."""
    encoder, decoder = HeaderBlockEncoder(), Decoder()
    decoder.max_header_list_size = 1 << 20
    for status, headers in blocks:
        got = [tuple(f) for f in decoder.decode(encoder.encode(status, headers), raw=True)]
        assert got == [(b":status", b"%d" % status), *headers]


def test_no_table_is_kept_on_either_side() -> None:
    """The first block gives the dynamic table up: a peer's own may be as small as it likes."""
    encoder, decoder = HeaderBlockEncoder(), Decoder()
    decoder.max_allowed_table_size = 0
    for _ in range(3):
        decoder.decode(encoder.encode(200, [(b"x-request-id", b"1")]))
    assert decoder.header_table_size == 0


@given(st.lists(st.tuples(METHODS, PATHS, EXTRA, st.booleans(), st.booleans()), max_size=12))
def test_what_is_remembered_is_what_was_meant(
    asked: list[tuple[bytes, bytes, Headers, bool, bool]],
) -> None:
    """Repeated blocks, with the path as an index or a literal, read as if each were the first."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    for method, path, more, literal, huffman in asked:
        expected = meant(fields(method, path, more))
        for _ in range(2):
            if literal:
                block = encoder.encode([(b":method", method), (b":scheme", b"https")])
                block += without_indexing(path, huffman=huffman)
                block += encoder.encode([(b":authority", b"a"), *more])
            else:
                block = encoder.encode(fields(method, path, more))
            assert code(reader.decode_request(block)) == expected
            assert reader.peek_target(block) in (None, path)


PRIMED = b"\x82\x87\x84\x41\x01a"  # GET https /, and the host, which enters the table
BEFORE = st.sampled_from([b"\x82\x87", b"\x82\x87\xbe", b"\x82\x87\x84", b"\x82\x87\x84\xbe"])
BEHIND = st.sampled_from([b"", b"\xbe", b"\x84", b"\xbe\x84"])
LITERALS = st.sampled_from([b"", b"/", b"/v1/b"])


@given(st.lists(st.tuples(BEFORE, LITERALS, BEHIND), max_size=12))
def test_one_block_does_not_stand_for_another(blocks: list[tuple[bytes, bytes, bytes]]) -> None:
    """No path, two paths, fields twice: each block means what a reader makes of it alone."""
    reader = HeaderBlockDecoder(LIMITS)
    reader.decode_request(PRIMED)
    for before, path, behind in blocks * 2:
        literal = without_indexing(path, huffman=False) if path else b""
        block = before + literal + behind
        alone = HeaderBlockDecoder(LIMITS)
        alone.decode_request(PRIMED)
        assert code(reader.decode_request(block)) == code(alone.decode_request(block))


def test_a_target_is_known_without_decoding_once_its_like_was_read() -> None:
    """Not of a block that is new, or that adds to the table: those have to be decoded."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    begin, end = encoder.encode([(b":method", b"GET"), (b":scheme", b"https")]), b"\xbe"
    first = encoder.encode([(b":authority", b"a")])
    assert reader.peek_target(begin + without_indexing(b"/a", huffman=True) + first) is None
    reader.decode_request(begin + without_indexing(b"/a", huffman=True) + first)
    assert reader.peek_target(begin + without_indexing(b"/b", huffman=True) + end) is None
    reader.decode_request(begin + without_indexing(b"/b", huffman=True) + end)
    for huffman in (True, False):
        assert reader.peek_target(begin + without_indexing(b"/c", huffman=huffman) + end) == b"/c"
    assert reader.peek_target(begin + b"\x04\x81\x00" + end) is None  # no Huffman code
    reader.field_names(encoder.encode([(b"x-new", b"1")]))
    assert reader.peek_target(begin + without_indexing(b"/c", huffman=True) + end) is None


def test_an_index_that_has_moved() -> None:
    """The same index after a new entry is another field."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    for value in (b"1", b"2", b"1", b"3"):
        asked = fields(b"GET", b"/", [(b"x", value)])
        for _ in range(3):
            assert reader.decode_request(encoder.encode(asked)) == vet_request(asked, LIMITS)


def test_trailers_move_the_table_too() -> None:
    """What was remembered before them is forgotten."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    asked = fields(b"GET", b"/", [(b"x", b"1")])
    block = [encoder.encode(asked) for _ in range(2)][1]
    stale = HeaderBlockDecoder(LIMITS)
    assert reader.decode_request(Encoder().encode(asked)) == reader.decode_request(block)
    assert reader.field_names(b"\x40\x01a\x011") == [b"a"]
    moved = reader.decode_request(block)
    assert not isinstance(moved, H2Request) or moved.headers != vet_request(asked, LIMITS).headers
    with pytest.raises(ProtocolViolationError):
        stale.decode_request(block)


def test_a_long_index_is_not_taken_for_a_path() -> None:
    """An index of 131 is 0xff 0x04: its second byte looks like a literal path and is none."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    filling: Headers = [(b"x", b"%d" % number) for number in range(80)]
    reader.decode_request(encoder.encode(fields(b"GET", b"/", filling)))
    pseudo = [*fields(b"GET", b"/", [])[:3], (b":authority", b"b")]
    reader.decode_request(encoder.encode(pseudo))
    begin = encoder.encode(pseudo) + b"\xff\x04"
    assert min(begin[:-1]) >= 0x80
    for index in (0xC1, 0xC2):  # as a length: 65 bytes of Huffman code, or 66
        count = (index & 0x7F) + 1
        got = reader.decode_request(begin + bytes([index]) * count)
        assert isinstance(got, H2Request)
        assert len(got.headers) == 1 + 1 + count
        assert got.headers[2] == (b"x", b"%d" % (79 - (index & 0x7F) + 63))


@pytest.mark.parametrize(
    "path", [b"/" + b"x" * 9_000, b"/a b", b"*", b"/#", b""], ids=["long", "space", "*", "#", "no"]
)
def test_a_literal_path_is_vetted_each_time(path: bytes) -> None:
    """What is remembered is the rest of the request, never that its path was fine."""
    reader = HeaderBlockDecoder(LIMITS)
    rest = b"\x82\x87", Encoder().encode([(b":authority", b"a")])
    reader.decode_request(rest[0] + without_indexing(b"/fine", huffman=True) + rest[1])
    indexed = b"\xbe"
    good = rest[0] + without_indexing(b"/fine", huffman=True) + indexed
    assert reader.decode_request(good) == reader.decode_request(good)
    asked = without_indexing(path, huffman=len(path) < 100)
    assert code(reader.decode_request(rest[0] + asked + indexed)) == meant(fields(b"GET", path, []))


def test_broken_huffman_in_a_remembered_place() -> None:
    """It is a broken block, as it would be the first time."""
    reader = HeaderBlockDecoder(LIMITS)
    reader.decode_request(b"\x82\x87" + b"\x04\x01/" + Encoder().encode([(b":authority", b"a")]))
    assert isinstance(reader.decode_request(b"\x82\x87\x04\x01/\xbe"), H2Request)
    for _ in range(2):
        with pytest.raises(ProtocolViolationError) as violated:
            reader.decode_request(b"\x82\x87\x04\x84\xff\xff\xff\xff\xbe")
        assert violated.value.code == COMPRESSION_ERROR


def test_the_size_of_a_remembered_request_is_counted() -> None:
    """A path that makes the header list too large is refused like any other."""
    limits = Limits(header_bytes=266)
    reader = HeaderBlockDecoder(limits)
    rest = Encoder().encode([(b":authority", b"a")])
    reader.decode_request(b"\x82\x87" + without_indexing(b"/", huffman=False) + rest)
    long = b"\x82\x87" + without_indexing(b"/" + b"x" * 99, huffman=False) + b"\xbe"
    longer = b"\x82\x87" + without_indexing(b"/" + b"x" * 100, huffman=False) + b"\xbe"
    sizes = [code(reader.decode_request(block)) for block in (long, longer) for _ in range(2)]
    assert [size if isinstance(size, str) else "" for size in sizes] == [
        "", "", "header_too_large", "header_too_large"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xbe", b"\xff\xff\xff\xff\x7f", b"\x40\x05ab", b"\x3f\xff\xff\x7f", b"\x40"],
)
def test_what_is_no_block_ends_the_connection(block: bytes) -> None:
    """RFC 9113 section 4.3: the tables are no longer the same on both sides."""
    with pytest.raises(ProtocolViolationError) as violated:
        HeaderBlockDecoder(LIMITS).decode_request(block)
    assert violated.value.code == COMPRESSION_ERROR


def test_bombs_are_stopped_while_they_unpack() -> None:
    """A byte that stands for kilobytes, again and again (CVE-2016-6581)."""
    encoder = Encoder()
    block = encoder.encode([(b"x", b"y" * 4_000)] * 30)
    with pytest.raises(ProtocolViolationError) as violated:
        HeaderBlockDecoder(LIMITS).decode_request(block)
    assert violated.value.code == ENHANCE_YOUR_CALM


def test_the_memory_is_bounded() -> None:
    """However many blocks a client thinks of, few and short ones are remembered."""
    encoder, reader = Encoder(), HeaderBlockDecoder(LIMITS)
    reader.decode_request(encoder.encode(fields(b"GET", b"/", [(b"x-a", b"1"), (b"x-b", b"2")])))
    base = encoder.encode(fields(b"GET", b"/", []))
    extra = encoder.encode([(b"x-a", b"1")]), encoder.encode([(b"x-b", b"2")])
    for number in range(200):
        reader.decode_request(base + b"".join(extra[number >> bit & 1] for bit in range(7)))
        reader.decode_request(base + extra[0] * 80)
    assert 0 < len(reader._known) <= 8
    assert max(len(head) + len(tail or b"") for head, tail in reader._known) <= 64
