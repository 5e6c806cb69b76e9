"""What protocols.live.requests promises."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.live.requests import (
    UnwatchRequest,
    WatchRequest,
    WatchRequestError,
    parse_request,
)


def test_a_watch_and_an_unwatch_are_understood() -> None:
    """`of` and `org` may be left out."""
    asked = parse_request('{"watch": 3, "topic": "agent", "org": "acme", "of": "v1"}')
    assert asked == WatchRequest(3, "agent", "acme", "v1")
    assert parse_request('{"watch": 0, "topic": "fleet"}') == WatchRequest(0, "fleet", "", "")
    assert parse_request('{"unwatch": 3}') == UnwatchRequest(3)


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
    with pytest.raises(WatchRequestError) as refused:
        parse_request(text)
    assert str(refused.value) in (
        "a request is a watch or an unwatch",
        "a request has at most 4,096 bytes",
    )


@given(st.text(max_size=200))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    """A request, or the one error."""
    with contextlib.suppress(WatchRequestError):
        parse_request(text)
