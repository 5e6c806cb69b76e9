"""vault.crypto.shamir."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.crypto import shamir
from vault.crypto.errors import MalformedShare
from vault.crypto.shamir import combine, split

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "shamir.json").read_text())["cases"]

# Another way to the same field: logarithms to the base 3, the usual generator.
LOG, EXP = {}, {}
_power = 1
for _exponent in range(255):
    LOG[_power], EXP[_exponent] = _exponent, _power
    _double = (_power << 1) ^ (0x11B if _power & 0x80 else 0)
    _power ^= _double


def times(a: int, b: int) -> int:
    """The product in GF(2^8) by tables."""
    return EXP[(LOG[a] + LOG[b]) % 255] if a and b else 0


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Shares made by hand and by OpenBao combine; malformed sets are refused."""
    shares = [bytes.fromhex(share) for share in case["shares"]]
    if case["expect"] == "success":
        assert combine(shares).hex() == case["secret"]
    else:
        with pytest.raises(MalformedShare):
            combine(shares)


def test_multiplication_is_that_of_the_field() -> None:
    """All 65,536 products, as one vector of all bytes times each scalar, against the tables."""
    every = bytes(range(256))
    high = int.from_bytes(b"\x80" * 256)
    for scalar in range(256):
        product = shamir._scale(int.from_bytes(every), scalar, high).to_bytes(256)
        assert product == bytes(times(byte, scalar) for byte in every)


@settings(max_examples=40)
@given(st.binary(min_size=1, max_size=40), st.integers(2, 7), st.data())
def test_any_k_of_n_in_any_order(secret: bytes, n: int, data: st.DataObject) -> None:
    """Any k shares or more give the secret back, in any order."""
    k = data.draw(st.integers(2, n))
    shares = split(secret, n, k)
    count = data.draw(st.integers(k, n))
    chosen = data.draw(st.permutations(shares))[:count]
    assert combine(chosen) == secret


def test_shares_have_the_vault_format() -> None:
    """As long as the secret and one byte, the coordinate last; coordinates 1..n."""
    shares = split(bytes(32), 255, 3)
    assert {len(share) for share in shares} == {33}
    assert [share[-1] for share in shares] == list(range(1, 256))


def test_fewer_shares_or_a_wrong_one_give_another_secret() -> None:
    """Silently: that it is wrong, the keyring's encryption must tell."""
    secret = bytes(range(32))
    shares = split(secret, 5, 3)
    for two in itertools.combinations(shares, 2):
        assert combine(two) != secret
    damaged = bytes([shares[0][0] ^ 1]) + shares[0][1:]
    assert combine([damaged, shares[1], shares[2]]) != secret


def test_splitting_is_randomised() -> None:
    """The same secret split 200 times gives no share twice at any coordinate."""
    splits = [split(bytes(32), 3, 2) for _ in range(200)]
    assert all(len({shares[i] for shares in splits}) == 200 for i in range(3))


def test_one_share_says_nothing() -> None:
    """Over many splits of one secret byte, a share takes all 256 values."""
    assert {split(b"\x42", 2, 2)[0][0] for _ in range(6000)} == set(range(256))


@pytest.mark.parametrize(
    ("size", "n", "k"),
    [(32, 1, 1), (32, 3, 1), (32, 2, 3), (32, 256, 2), (32, 0, 0), (0, 3, 2), (1025, 3, 2)],
)
def test_impossible_splits_are_refused(size: int, n: int, k: int) -> None:
    """2 <= k <= n <= 255, and a secret of 1 to 1024 bytes."""
    with pytest.raises(ValueError, match=r"<=|1024"):
        split(bytes(size), n, k)


def test_more_shares_than_coordinates_do_not_combine() -> None:
    """256 shares cannot be distinct: refused by their number."""
    with pytest.raises(MalformedShare, match="255"):
        combine([b"\0" + bytes([x % 256]) for x in range(256)])
