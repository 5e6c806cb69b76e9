"""HPACK's Huffman code (RFC 7541 section 5.2 and appendix B), decoded a byte at a time.

hpack walks its table by half bytes, a quarter of a microsecond a character. Here two of its steps
are one, made when it is first needed: at most 65,536 of them, some hundreds for what paths are
made of.
"""

from hpack.huffman_table import (
    HUFFMAN_COMPLETE,
    HUFFMAN_EMIT_SYMBOL,
    HUFFMAN_FAIL,
    HUFFMAN_TABLE,
)

_STATE = 8  # a step's key is the state before it, shifted by so much, and the byte
# The state afterwards, shifted; what the byte completes; whether the text may end here.
_Step = tuple[int, bytes, bool]
_steps: dict[int, _Step] = {}


def huffman_decode(code: bytes) -> bytes:
    """The text that `code` stands for. Raises ValueError for what stands for none."""
    state, complete = 0, True
    texts = []
    for byte in code:
        state, text, complete = _steps.get(state | byte) or _step(state | byte)
        texts.append(text)
    if not complete:
        raise ValueError("Huffman code ends within a symbol, or with more padding than there is")
    return b"".join(texts)


def _step(key: int) -> _Step:
    state, text, complete = key >> _STATE, b"", False
    for half in (key >> 4 & 0xF, key & 0xF):
        state, flags, symbol = HUFFMAN_TABLE[state * 16 + half]
        if flags & HUFFMAN_FAIL:
            raise ValueError("Huffman code holds the symbol that ends it")
        if flags & HUFFMAN_EMIT_SYMBOL:
            text += bytes([symbol])
        complete = bool(flags & HUFFMAN_COMPLETE)
    step = _steps[key] = state << _STATE, text, complete
    return step
