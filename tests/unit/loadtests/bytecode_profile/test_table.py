"""The table of steps: for each request, the largest first."""

import pytest

from loadtests.bytecode_profile.__main__ import FunctionCount, count_requests, render_table

EDGE = FunctionCount("vault/edge/asgi.py:44 EdgeApp.__call__", 40, 4, 8)
OTHER = FunctionCount("vault/a.py:1 other", 80, 2, 2)


def test_each_count_is_for_a_request() -> None:
    """All functions in the first line, then one line for each of the largest."""
    told = render_table([EDGE, OTHER], 1).splitlines()
    assert told[0] == "4 requests, each of 30 steps, 2 functions, 2 calls"
    assert told[2].split() == ["20.0", "0.50", "0.50", "vault/a.py:1", "other"]
    assert len(told) == 3


def test_without_a_request_there_is_nothing_to_tell() -> None:
    """Rather than a table of zeros."""
    assert count_requests([OTHER]) == 0
    with pytest.raises(ValueError, match="no request"):
        render_table([OTHER], 1)
