"""The table of steps: for each request, the largest first."""

import pytest

from loadtests.steps.table import Function, requests, table

EDGE = Function("vault/edge/asgi.py:44 EdgeApp.__call__", 40, 4, 8)
OTHER = Function("vault/a.py:1 other", 80, 2, 2)


def test_each_count_is_for_a_request() -> None:
    """All functions in the first line, then one line for each of the largest."""
    told = table([EDGE, OTHER], 1).splitlines()
    assert told[0] == "4 requests, each of 30 steps, 2 functions, 2 calls"
    assert told[2].split() == ["20.0", "0.50", "0.50", "vault/a.py:1", "other"]
    assert len(told) == 3


def test_without_a_request_there_is_nothing_to_tell() -> None:
    """Rather than a table of zeros."""
    assert requests([OTHER]) == 0
    with pytest.raises(ValueError, match="no request"):
        table([OTHER], 1)
