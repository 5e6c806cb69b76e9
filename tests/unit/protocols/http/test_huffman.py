"""What protocols.http.header_blocks promises."""

import pytest
from hpack import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.header_blocks import huffman_decode

ENCODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@given(st.binary(max_size=80))
def test_every_text_comes_back(text: bytes) -> None:
    """All 256 symbols, in any order."""
    assert huffman_decode(ENCODER.encode(text)) == text


@given(st.binary(max_size=40) | st.binary(max_size=20).map(lambda text: text + b"\xff" * 2))
def test_any_bytes_mean_what_hpack_says(code: bytes) -> None:
    """The same text, or refused by both: padding of a byte or more, of zeros, end-of-string."""
    try:
        expected = decode_huffman(code)
    except HPACKDecodingError:
        with pytest.raises(ValueError, match="Huffman"):
            huffman_decode(code)
    else:
        assert huffman_decode(code) == expected


@pytest.mark.parametrize(
    "code",
    [b"\xff", b"\xff\xff\xff\xff", b"\x1f\xff", b"\x18"],
    ids=["padding alone", "end of string", "a byte too much of padding", "padding of zeros"],
)
def test_what_stands_for_nothing(code: bytes) -> None:
    """RFC 7541 section 5.2: decoding errors, the second time as well as the first."""
    assert huffman_decode(b"\x1f") == b"a"
    for _ in range(2):
        with pytest.raises(ValueError, match="Huffman"):
            huffman_decode(code)
