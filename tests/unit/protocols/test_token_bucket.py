"""A pace: so much at once, so much a minute, and time that was not used is not saved up."""

import pytest

from protocols.token_bucket import MINUTE, TokenBucket


def test_so_much_at_once_and_then_as_time_goes_by():
    """A wait is as long as it says."""
    pace = TokenBucket(2, 6 / MINUTE, 100.0)
    assert pace.try_consume(100.0)
    assert pace.try_consume(100.0)
    assert not pace.try_consume(100.0)
    assert pace.seconds_until_free(100.0) == pytest.approx(10.0)
    assert not pace.try_consume(109.0)
    assert pace.try_consume(110.5)
    assert not pace.try_consume(110.5)


def test_what_was_not_used_does_not_add_up():
    """After a quiet year there are as many at once as on the first day."""
    pace = TokenBucket(2, 6 / MINUTE, 0.0)
    assert [pace.try_consume(10.0**7) for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_gives_nothing():
    """Two askers may read it in another order than they ask."""
    pace = TokenBucket(1, 60 / MINUTE, 10.0)
    assert pace.try_consume(10.0)
    assert not pace.try_consume(5.0)
    assert not pace.try_consume(10.5)
    assert pace.try_consume(11.0)
