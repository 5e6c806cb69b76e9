"""Bearer secrets: long, different, and stored as a digest."""

from control.crypto import new_bearer_secret, secret_digest, sha256


def test_sha256_is_sha256() -> None:
    """FIPS 180-4's own example."""
    assert sha256(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")


def test_secrets_are_long_and_different() -> None:
    """256 bits in a fixed width, behind a prefix that says what it is."""
    found = {new_bearer_secret("fhu") for _ in range(1000)}
    assert len(found) == 1000
    assert {len(secret) for secret in found} == {47}
    assert all(secret.startswith("fhu_") and secret[4:].isalnum() for secret in found)


def test_any_text_has_a_digest() -> None:
    """What somebody presents may be anything that HTTP carries."""
    assert secret_digest("a") != secret_digest("b")
    assert len(secret_digest("\udcff")) == 32
