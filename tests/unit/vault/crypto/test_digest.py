"""vault.crypto.digest."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.digest import DIGEST_SIZE, sha256


def test_is_fips_180_4() -> None:
    """The standard's own one-block example."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc").hex() == expected


@given(st.binary(max_size=300))
def test_agrees_with_another_implementation(data: bytes) -> None:
    """Any message has the digest that hashlib gives it."""
    assert sha256(data) == hashlib.sha256(data).digest()
    assert len(sha256(data)) == DIGEST_SIZE
