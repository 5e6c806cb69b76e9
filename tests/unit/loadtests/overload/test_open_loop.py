"""A request counts from when it was due, not from when a slow server let it be sent."""

from loadtests.h2load import LoggedAnswer
from loadtests.overload.open_loop import count_outcome


def test_waiting_to_be_sent_is_waiting() -> None:
    """Coordinated omission: the last was due at 300 ms and sent at 900, so it took 620 ms."""
    answers = [LoggedAnswer(at * 1000, 200, 20_000) for at in (0, 300, 600, 900)]
    found = count_outcome(answers, factor=4, rate=10, seconds=1)
    assert found.p99_ms == 620
    assert found.p50_ms == 220
    assert found.unanswered == 6


def test_refusals_and_errors_are_no_goodput() -> None:
    """429 and 503 are refusals, whatever else is not 2xx is an error."""
    statuses = (200, 204, 429, 503, 500, -1)
    answers = [LoggedAnswer(n, status, 5_000) for n, status in enumerate(statuses)]
    found = count_outcome(answers, factor=1, rate=1_000_000, seconds=1)
    assert (found.accepted, found.refused, found.failed) == (2, 2, 2)
    assert found.refused_p99_ms == 5
