"""h2load's log, read."""

import pytest

from loadtests.h2load import LoggedAnswer, sample
from loadtests.load import VoidError


@pytest.mark.parametrize("status", [-1, 199, 300, 404, 503])
def test_one_answer_that_is_not_2xx_makes_a_run_void(status: int) -> None:
    """However many others were."""
    with pytest.raises(VoidError, match="1 of 2"):
        sample([LoggedAnswer(0, 200, 1), LoggedAnswer(0, status, 1)], seconds=1)


def test_no_answer_makes_a_run_void() -> None:
    """Nought is no figure."""
    with pytest.raises(VoidError):
        sample([], seconds=1)
