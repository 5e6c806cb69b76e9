"""vault.crypto.signing."""

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.crypto.errors import BadSignature
from vault.crypto.signing import SIGNATURE_SIZE, SigningKey, verify_signature

SEED = bytes(range(32))


def test_a_signature_verifies_for_its_key_domain_and_message_only() -> None:
    """Change any of the three, or any bit of the signature, and it is `BadSignature`."""
    key, other = SigningKey.from_seed(SEED), SigningKey.generate()
    signature = key.sign("checkpoint", b"message")
    verify_signature(key.public, "checkpoint", b"message", signature)
    for public, domain, message in (
        (other.public, "checkpoint", b"message"),
        (key.public, "policy", b"message"),
        (key.public, "checkpoint", b"messagf"),
        (key.public, "checkpointm", b"essage"),
    ):
        with pytest.raises(BadSignature):
            verify_signature(public, domain, message, signature)
    for bit in range(SIGNATURE_SIZE * 8):
        flipped = (int.from_bytes(signature) ^ (1 << bit)).to_bytes(SIGNATURE_SIZE)
        with pytest.raises(BadSignature):
            verify_signature(key.public, "checkpoint", b"message", flipped)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_wrong_shapes_are_bad_signatures_and_bad_seeds(size: int) -> None:
    """No shape of input gives another exception, or passes."""
    key = SigningKey.from_seed(SEED)
    with pytest.raises(BadSignature):
        verify_signature(bytes(size), "d", b"", key.sign("d", b""))
    with pytest.raises(BadSignature):
        verify_signature(key.public, "d", b"", bytes(size))
    with pytest.raises(ValueError, match="32"):
        SigningKey.from_seed(bytes(size))


def test_is_rfc_8032_over_the_framed_message() -> None:
    """Plain Ed25519 of `length_prefixed([label, domain, message])`, put together by hand here."""
    label = b"freehold-signature-v1"
    framed = b"\0\0\0\3\0\0\0\x15" + label + b"\0\0\0\1d\0\0\0\4text"
    expected = Ed25519PrivateKey.from_private_bytes(SEED).sign(framed)
    assert SigningKey.from_seed(SEED).sign("d", b"text") == expected


def test_a_seed_is_a_key_for_good_and_generated_keys_differ() -> None:
    """The same seed gives the same public key; two generated keys are not the same."""
    assert SigningKey.from_seed(SEED).public == SigningKey.from_seed(SEED).public
    assert SigningKey.generate().public != SigningKey.generate().public


def test_a_key_does_not_leave_its_object() -> None:
    """No repr, copy or pickle gives the seed."""
    key = SigningKey.from_seed(SEED)
    assert repr(key) == f"SigningKey(public={key.public.hex()})"
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leak(key)
