"""Header blocks: any decoder reads ours, and what is remembered is what was meant."""

import pytest
from hpack import Decoder, Encoder, HPACKDecodingError
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.blocks import BlockDecoder, BlockEncoder

NAMES = st.sampled_from([b":status", b"content-type", b"cache-control", b"x-a", b"via", b"x" * 200])
VALUES = st.one_of(st.sampled_from([b"200", b"404", b"", b"v" * 127, b"w" * 9_000]), st.binary())
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


@given(st.lists(LISTS, min_size=1, max_size=4))
def test_every_decoder_reads_it(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    """Whatever the fields, their order and their length, a decoder finds them as they were."""
    encoder, decoder = BlockEncoder(), Decoder()
    decoder.max_header_list_size = 1 << 20
    for fields in blocks:
        assert [tuple(f) for f in decoder.decode(encoder.encode(fields), raw=True)] == fields


def test_no_table_is_kept_on_either_side() -> None:
    """The first block gives the dynamic table up: a peer's own may be as small as it likes."""
    encoder, decoder = BlockEncoder(), Decoder()
    decoder.max_allowed_table_size = 0
    for _ in range(3):
        decoder.decode(encoder.encode([(b":status", b"200"), (b"x-request-id", b"1")]))
    assert decoder.header_table_size == 0
    assert not encoder.header_table.dynamic_entries


@given(st.lists(st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"2", b"200"])), max_size=4)))
def test_what_is_remembered_is_what_was_meant(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    """Repeated blocks of indices, with and without new entries between them, decode as ever."""
    encoder, decoder, plain = Encoder(), BlockDecoder(), Decoder()
    for fields in blocks:
        for data in (encoder.encode(fields), encoder.encode(fields)):
            assert decoder.decode(data, raw=True) == plain.decode(data, raw=True)


def test_an_index_that_has_moved() -> None:
    """The same index after a new entry is another field."""
    decoder = BlockDecoder()
    decoder.decode(b"\x40\x01a\x011", raw=True)
    assert [decoder.decode(b"\xbe", raw=True) for _ in range(2)] == [[(b"a", b"1")]] * 2
    decoder.decode(b"\x40\x01b\x012", raw=True)
    assert decoder.decode(b"\xbe", raw=True) == [(b"b", b"2")]
    decoder.decode(b"\x20", raw=True)
    with pytest.raises(HPACKDecodingError):
        decoder.decode(b"\xbe", raw=True)


def test_the_memory_is_bounded() -> None:
    """However many blocks a client thinks of, few and short ones are remembered."""
    decoder = BlockDecoder()
    for number in range(1, 60):
        decoder.decode(bytes([0x80 | number]), raw=True)
        decoder.decode(bytes([0x80 | number]) * 100, raw=True)
    assert 0 < len(decoder._known) <= 8
    assert max(map(len, decoder._known)) <= 64


def test_nothing_is_shared() -> None:
    """Who changes the list that he was given changes nobody else's."""
    decoder = BlockDecoder()
    decoder.decode(b"\x82", raw=True).clear()
    assert decoder.decode(b"\x82", raw=True) == [(b":method", b"GET")]


def test_a_block_that_was_foreseen_is_decoded_once() -> None:
    """`decode` gives the same fields and the table has them once; a broken block fails later."""
    encoder, decoder = Encoder(), BlockDecoder()
    fields = [(b"x-name", b"value")]
    block = encoder.encode(fields)
    assert decoder.foresee(block) == fields
    assert decoder.decode(block, raw=True) == fields
    assert len(decoder.header_table.dynamic_entries) == 1
    assert decoder.decode(encoder.encode(fields), raw=True) == fields
    assert decoder.foresee(encoder.encode([(b"x-other", b"1")])) is not None
    decoder.forget()
    assert decoder.decode(encoder.encode(fields), raw=True) == fields
    assert decoder.foresee(b"\xff\xff\xff\xff\x7f") is None
    with pytest.raises(HPACKDecodingError):
        decoder.decode(b"\xff\xff\xff\xff\x7f", raw=True)
