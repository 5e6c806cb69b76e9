"""The question and its answer are frozen values."""

from collections.abc import Callable

import pytest

from vault.authz.access import AccessRequest, Decision


def test_frozen(make_access: Callable[..., AccessRequest]) -> None:
    """Nobody can turn a decision round after it was made, or the access under it."""
    with pytest.raises(AttributeError):
        Decision(allowed=False).allowed = True  # type: ignore[misc]  # what is tested
    with pytest.raises(AttributeError):
        make_access().capability = "sudo"  # type: ignore[misc, assignment]  # what is tested


def test_denied_unless_said() -> None:
    """There is no decision that allows by default."""
    with pytest.raises(TypeError):
        Decision()  # type: ignore[call-arg]  # what is tested
