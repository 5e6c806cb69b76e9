"""wrk's figures, and what makes a run void."""

import json

import pytest

from loadtests.load import Load, VoidError
from loadtests.wrk import command, parse

FIGURES = {
    "requests": 10, "microseconds": 2_000_000, "p50": 1000, "p95": 2000, "p99": 3000,
    "not_2xx": 0, "broken": 0,
}  # fmt: skip


def said(**changed: int) -> str:
    """What wrk prints, the script's line among its own."""
    return f"Running 2s test @ x\n{json.dumps(FIGURES | changed)}\n  10 requests in 2.00s\n"


def test_figures_are_in_seconds_and_milliseconds() -> None:
    """From microseconds."""
    sample = parse(said())
    assert (sample.rate, sample.p50_ms, sample.p95_ms, sample.p99_ms) == (5, 1, 2, 3)


@pytest.mark.parametrize("changed", [{"not_2xx": 1}, {"broken": 1}, {"requests": 0}])
def test_one_bad_answer_makes_a_run_void(changed: dict[str, int]) -> None:
    """As does a run without any answer."""
    with pytest.raises(VoidError):
        parse(said(**changed))


def test_a_run_that_is_not_strict_counts_them() -> None:
    """For what others see while something is wrong."""
    assert parse(said(not_2xx=2, broken=1), strict=False).failed == 3


def test_the_command_line_holds_no_token() -> None:
    """Everybody on a machine can read it; the token is in the environment."""
    line = command("https://127.0.0.1:1", Load(operation="read"), 3)
    assert line[:4] == ["wrk", "-t1", "-c32", "-d3s"]
    assert not any("token" in word.lower() for word in line)
