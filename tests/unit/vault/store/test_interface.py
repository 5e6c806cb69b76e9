"""vault.store.interface: errors that survive being copied for each asker."""

from copy import copy

from vault.store.interface import UNKNOWN, BackendError, ConstraintError


def test_backend_error() -> None:
    """A copy has code, message and outcome; the default outcome is that nothing was stored."""
    error = copy(BackendError("store_full", "the disk is full", UNKNOWN))
    assert (error.code, error.message, error.status) == ("store_full", "the disk is full", 503)
    assert error.details == {"outcome": "unknown"}
    assert BackendError("a", "b").details == {"outcome": "none"}


def test_constraint_error() -> None:
    """A copy names the table."""
    error = copy(ConstraintError("users"))
    assert (error.table, error.code, error.status) == ("users", "store_constraint", 409)
    assert "users" in error.message
