"""What protocols.http.limits promises."""

from dataclasses import FrozenInstanceError, fields

import pytest

from protocols.http.limits import Limits


def test_bounds_are_fixed_and_positive() -> None:
    """Nothing is unbounded by default, and nothing changes under a running server."""
    limits = Limits()
    for field in fields(limits):
        assert 0 < getattr(limits, field.name) < 2**31
    with pytest.raises(FrozenInstanceError):
        limits.streams = 1  # type: ignore[misc]  # the very thing that must fail
