"""What was revoked, destroyed or rotated and comes back is noticed."""

import json
from http import HTTPStatus
from typing import Any

import pytest

from loadtests.durability.operations import ClientOperation, find_violation, record_answer
from tests.acceptance.agent import Answer

HIDDEN = {"data": {"data": None, "metadata": {"destroyed": True}}}
SHOWN = {"data": {"data": {"w": "doomed"}}}


def answer(status: int, body: Any = None) -> Answer:
    """Of an agent."""
    return Answer(status, {"x-request-id": "r"}, json.dumps(body).encode() if body else b"")


@pytest.mark.parametrize(
    ("deed", "seen", "wrong"),
    [
        (ClientOperation("revoke", "s.x", "ok"), answer(403), False),
        (ClientOperation("revoke", "s.x", "ok"), answer(404), False),
        (ClientOperation("revoke", "s.x", "ok"), answer(200, {"data": {}}), True),
        (ClientOperation("revoke", "s.x", "ok"), answer(503), True),
        (ClientOperation("destroy", "secret/a", "ok"), answer(404, HIDDEN), False),
        (ClientOperation("destroy", "secret/a", "ok"), answer(200, SHOWN), True),
        (ClientOperation("destroy", "secret/a", "ok"), answer(404, SHOWN), True),
        (ClientOperation("rotate", "3", "ok"), answer(200, {"generation": 3}), False),
        (ClientOperation("rotate", "3", "ok"), answer(200, {"generation": 4}), False),
        (ClientOperation("rotate", "3", "ok"), answer(200, {"generation": 2}), True),
        (ClientOperation("rotate", "3", "ok"), answer(503), True),
        (ClientOperation("rewrap", "", "ok"), answer(200, {"generation": 1}), False),
    ],
)
def test_a_deed_that_is_undone_is_told(deed: ClientOperation, seen: Answer, *, wrong: bool) -> None:
    """One finding for each, and none for what holds."""
    assert len(list(find_violation(deed, seen))) == wrong


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (204, "ok"), (400, "refused"), (503, "unknown")]
)
def test_only_what_was_acknowledged_has_to_hold(status: int, state: str) -> None:
    """Of a 5xx nobody knows what came of it."""
    deed = ClientOperation("revoke", "s.x")
    record_answer(deed, answer(HTTPStatus(status)))
    assert (deed.state, deed.request_id) == (state, "r")
