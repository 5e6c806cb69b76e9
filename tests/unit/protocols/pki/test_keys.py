from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from protocols.pki.errors import PkiKeyError
from protocols.pki.files import SECRET_MODE, write_atomically
from protocols.pki.keys import (
    KeyKind,
    encode_private,
    key_hash,
    kind_of,
    load_curve_key,
    load_signing_key,
    new_curve_key,
    new_signing_key,
    sha256,
    spki,
    store_key,
)


@pytest.mark.parametrize("kind", [KeyKind.LEAF, KeyKind.AUTHORITY])
def test_a_key_comes_back_as_its_kind_and_no_other(tmp_path: Path, kind: KeyKind) -> None:
    """An authority's key cannot be used for a leaf by putting it in its place."""
    key, path = new_curve_key(kind), tmp_path / "key"
    store_key(path, key)
    assert encode_private(load_curve_key(path, kind)) == encode_private(key)
    assert kind_of(key) is kind_of(key.public_key()) is kind
    (other,) = {KeyKind.LEAF, KeyKind.AUTHORITY} - {kind}
    with pytest.raises(PkiKeyError, match=other):
        load_curve_key(path, other)
    with pytest.raises(PkiKeyError, match="Ed25519"):
        load_signing_key(path)


def test_a_signing_key_comes_back(tmp_path: Path) -> None:
    """And is no key for a certificate."""
    key, path = new_signing_key(), tmp_path / "key"
    store_key(path, key)
    assert encode_private(load_signing_key(path)) == encode_private(key)
    assert kind_of(key) is kind_of(key.public_key()) is KeyKind.SIGNING
    with pytest.raises(PkiKeyError):
        load_curve_key(path, KeyKind.LEAF)
    with pytest.raises(PkiKeyError):
        new_curve_key(KeyKind.SIGNING)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_a_typed_error(tmp_path: Path, data: bytes) -> None:
    """Which does not show what was in the file."""
    write_atomically(tmp_path / "key", data, SECRET_MODE)
    with pytest.raises(PkiKeyError, match="in PEM"):
        load_curve_key(tmp_path / "key", KeyKind.LEAF)


def test_a_key_is_known_by_the_hash_of_its_spki() -> None:
    """Of nothing else; RSA has no kind, for we make none."""
    public = new_curve_key(KeyKind.LEAF).public_key()
    assert key_hash(public) == sha256(spki(public))
    assert kind_of(generate_private_key(65537, 2048)) is None
