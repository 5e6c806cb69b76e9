"""Waiting for what comes about in another process."""

from collections.abc import Callable

from tests.support.polling import await_value

PATIENCE = 60.0  # seconds


def await_true(ask: Callable[[], bool]) -> None:
    """Ask until it is so, or fail."""
    await_value(ask, PATIENCE)
