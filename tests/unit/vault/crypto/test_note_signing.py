"""Signing of notes: exactly the bytes, nothing shown."""

import pickle

import pytest

from vault.crypto.note_signing import NoteKey, is_note_signature_valid

# RFC 8032, section 7.1, test 2.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signs_exactly_the_bytes() -> None:
    """A note's signature is plain Ed25519, as other implementations verify it."""
    key = NoteKey.from_seed(SEED)
    assert key.public == PUBLIC
    assert key.sign(b"\x72") == SIGNATURE
    assert is_note_signature_valid(PUBLIC, b"\x72", SIGNATURE)


@pytest.mark.parametrize(
    ("public", "text", "signature"),
    [
        (PUBLIC, b"\x73", SIGNATURE),
        (PUBLIC, b"\x72", SIGNATURE[:-1] + b"\x01"),
        (PUBLIC, b"\x72", b""),
        (b"short", b"\x72", SIGNATURE),
    ],
)
def test_refuses_everything_else(public: bytes, text: bytes, signature: bytes) -> None:
    """Another text, another signature or a malformed key is not signed, and raises nothing."""
    assert not is_note_signature_valid(public, text, signature)


def test_does_not_leak() -> None:
    """A key shows only its public half and cannot be pickled."""
    key = NoteKey.from_seed(SEED)
    assert SEED.hex() not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
