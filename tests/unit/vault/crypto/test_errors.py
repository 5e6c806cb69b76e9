"""vault.crypto.errors."""

from vault.crypto import errors
from vault.crypto.errors import CryptoError


def test_one_family() -> None:
    """Whoever catches `CryptoError` has caught everything raised on purpose."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 10
    assert all(issubclass(kind, CryptoError) for kind in kinds)


def test_a_mismatched_commitment_is_a_failed_authentication() -> None:
    """Callers treat the two alike; vectors tell them apart."""
    assert issubclass(errors.CommitmentMismatch, errors.AuthenticationFailed)
    assert not issubclass(errors.MalformedEncoding, errors.AuthenticationFailed)
