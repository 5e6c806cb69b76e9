"""h2load's log, read."""

import json

import pytest

from loadtests.h2load import LoggedAnswer, parse, sample, value
from loadtests.load import VoidError


def test_a_line_is_an_answer() -> None:
    """Start, status, duration; columns that later versions add are left out."""
    assert parse("5\t200\t7\n6\t-1\t8\t9\n") == [LoggedAnswer(5, 200, 7), LoggedAnswer(6, -1, 8)]


def test_p99_comes_from_all_answers() -> None:
    """In milliseconds, whatever their order."""
    found = sample([LoggedAnswer(0, 200, us) for us in (3000, 1000, 2000)], seconds=3)
    assert (found.rate, found.p50_ms, found.p99_ms) == (1, 2, 3)


@pytest.mark.parametrize("status", [-1, 199, 300, 404, 503])
def test_one_answer_that_is_not_2xx_makes_a_run_void(status: int) -> None:
    """However many others were."""
    with pytest.raises(VoidError, match="1 of 2"):
        sample([LoggedAnswer(0, 200, 1), LoggedAnswer(0, status, 1)], seconds=1)


def test_no_answer_makes_a_run_void() -> None:
    """Nought is no figure."""
    with pytest.raises(VoidError):
        sample([], seconds=1)


@pytest.mark.parametrize("size", [1, 100, 4096])
def test_a_value_has_the_size_that_was_asked_for(size: int) -> None:
    """In characters of the value, not of the body."""
    assert len(json.loads(value(size))["data"]["value"]) == size
