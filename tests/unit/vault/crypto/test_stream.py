"""STREAM: a chunk opens in its place and nowhere else."""

import pickle

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import AuthenticationFailed
from vault.crypto.stream import CHUNK_SIZE, SEALED_CHUNK_SIZE, StreamOpener, StreamSealer

KEY, AAD = bytes(range(32)), b"header"
FULL = bytes(CHUNK_SIZE)


def sealed(*chunks: bytes, key: bytes = KEY, aad: bytes = AAD) -> list[bytes]:
    """A stream of these, the last of which is the last."""
    sealer = StreamSealer(key, aad)
    return [sealer.seal(chunk, last=chunk is chunks[-1]) for chunk in chunks]


def test_the_bytes() -> None:
    """The nonce is the number in 11 bytes, and 1 for the last."""
    boxes = sealed(FULL, b"end")
    cipher = AESGCM(KEY)
    assert boxes[0] == cipher.encrypt(bytes(12), FULL, AAD)
    assert boxes[1] == cipher.encrypt(bytes(10) + b"\x01\x01", b"end", AAD)
    assert len(boxes[0]) == SEALED_CHUNK_SIZE


@given(st.binary(max_size=300))
def test_what_was_sealed_comes_back(end: bytes) -> None:
    """Each chunk in its turn."""
    opener = StreamOpener(KEY, AAD)
    boxes = sealed(FULL, end)
    assert opener.open_(boxes[0], last=False) == FULL
    assert opener.open_(boxes[1], last=True) == end


def test_at_another_place() -> None:
    """Not as another number, not as the last, not under another key or header."""
    first, second = sealed(FULL, b"end")
    wrong = [
        (KEY, AAD, [(second, True)]),
        (KEY, AAD, [(first, True)]),
        (KEY, AAD, [(first, False), (second, False)]),
        (KEY, AAD, [(first, False), (first, False)]),
        (bytes(32), AAD, [(first, False)]),
        (KEY, b"other", [(first, False)]),
        (KEY, AAD, [(first[:-1], False)]),
        (KEY, AAD, [(b"", False)]),
    ]
    for key, aad, (*before, (box, last)) in wrong:
        opener = StreamOpener(key, aad)
        for each, each_last in before:
            opener.open_(each, last=each_last)
        with pytest.raises(AuthenticationFailed):
            opener.open_(box, last=last)


def test_misuse() -> None:
    """A short chunk in the middle, a long one, anything behind the last, a short key, a copy."""
    sealer = StreamSealer(KEY, AAD)
    for chunk in (b"short", FULL + b"x"):
        with pytest.raises(ValueError, match="full"):
            sealer.seal(chunk, last=False)
    sealer.seal(b"", last=True)
    with pytest.raises(ValueError, match="ended"):
        sealer.seal(b"", last=True)
    with pytest.raises(ValueError, match="32 bytes"):
        StreamOpener(b"short", AAD)
    with pytest.raises(TypeError):
        pickle.dumps(sealer)
