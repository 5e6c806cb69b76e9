"""What protocols.live.requests promises."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.live.limits import Bounds
from protocols.live.requests import Allowance, RequestError, Unwatch, Watch, parse


def test_a_watch_and_an_unwatch_are_understood() -> None:
    """`of` and `org` may be left out."""
    asked = parse('{"watch": 3, "topic": "agent", "org": "acme", "of": "v1"}')
    assert asked == Watch(3, "agent", "acme", "v1")
    assert parse('{"watch": 0, "topic": "fleet"}') == Watch(0, "fleet", "", "")
    assert parse('{"unwatch": 3}') == Unwatch(3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nothing",
        '{"watch": -1, "topic": "fleet"}',
        '{"watch": 1.5, "topic": "fleet"}',
        '{"watch": "1", "topic": "fleet"}',
        '{"watch": 2147483648, "topic": "fleet"}',
        '{"watch": 1}',
        '{"watch": 1, "topic": "FLEET"}',
        '{"watch": 1, "topic": "fleet\\n"}',
        '{"watch": 1, "topic": "fleet", "org": "../x"}',
        '{"watch": 1, "topic": "fleet", "of": "<script>"}',
        '{"watch": 1, "topic": "fleet", "more": 1}',
        '{"watch": 1, "unwatch": 1, "topic": "fleet"}',
        '{"unwatch": 1, "more": 1}',
        '{"watch": 1, "topic": "' + "a" * 5000 + '"}',
        "[" * 4000,
    ],
)
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    """The error's text is ours alone."""
    with pytest.raises(RequestError) as refused:
        parse(text)
    assert str(refused.value) in (
        "a request is a watch or an unwatch",
        "a request has at most 4,096 bytes",
    )


@given(st.text(max_size=200))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    """A request, or the one error."""
    with contextlib.suppress(RequestError):
        parse(text)


def test_requests_are_few_in_the_long_run() -> None:
    """A burst, then so many a second; waiting earns no more than the burst."""
    allowance = Allowance(Bounds(burst=3, rate=2.0), 0.0)
    for now in (0.0, 0.0, 0.0, 1.0, 1.0):
        allowance.spend(now)
    with pytest.raises(RequestError):
        allowance.spend(1.0)
    later = Allowance(Bounds(burst=3, rate=2.0), 0.0)
    for _ in range(3):
        later.spend(1000.0)
    with pytest.raises(RequestError):
        later.spend(1000.0)
