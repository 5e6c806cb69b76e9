"""loadtests.durability.writers: what a client knows of its writes once it is answered."""

import json
from typing import Any, cast

import pytest

from loadtests.durability.history import Write
from loadtests.durability.writers import send_batch, send_write
from tests.acceptance.agent import Answer, Client

STORED = {"name": "n", "status": 200, "secret": {"version": 7}}


class FakeClient:
    """Answers with this, whatever it is asked; notes what that was."""

    def __init__(self, status: int, told: object) -> None:
        self.answer = Answer(status, {"x-request-id": "id"}, json.dumps(told).encode())
        self.asked: list[tuple[str, str, Any]] = []

    def call(self, method: str, path: str, body: object) -> Answer:
        """One request."""
        self.asked.append((method, path, body))
        return self.answer


def failed(status: int, **details: str) -> dict[str, object]:
    """What is told of an item."""
    return {"name": "n", "status": status, "error": {"code": "c", "details": details}}


def ends(status: int, told: object, count: int) -> list[tuple[str, int, str]]:
    """State, version and request id of so many writes of one request."""
    writes = [Write(f"secret/{number}", f"v{number}") for number in range(count)]
    client = FakeClient(status, told)
    send_batch(cast("Client", client), writes)
    [(method, path, body)] = client.asked
    assert (method, path) == ("POST", "/api/v1/batch/write")
    assert body["secrets"][-1] == {"name": f"secret/{count - 1}", "value": {"w": f"v{count - 1}"}}
    return [(write.state, write.version, write.request_id) for write in writes]


def test_each_of_several_has_its_own_end() -> None:
    """Of a 5xx nobody knows what came of it, unless the agent vouches for it."""
    results = [STORED, failed(409), failed(503), failed(503, outcome="none"), failed(500)]
    assert ends(207, {"failed": 4, "results": results}, 5) == [
        ("ok", 7, "id.0"), ("refused", 0, "id.1"), ("unknown", 0, "id.2"), ("refused", 0, "id.3"),
        ("unknown", 0, "id.4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "details", "state"),
    [(503, {}, "unknown"), (503, {"outcome": "none"}, "refused"), (429, {}, "refused")],
)
def test_what_is_told_of_all_is_told_of_each(
    status: int, details: dict[str, str], state: str
) -> None:
    """A request that was refused whole."""
    told = ends(status, {"code": "c", "details": details}, 2)
    assert told == [(state, 0, "id.0"), (state, 0, "id.1")]


@pytest.mark.parametrize(
    ("native", "status", "told", "state"),
    [
        (True, 200, {"version": 3}, "ok"),
        (False, 200, {"data": {"version": 3}}, "ok"),
        (True, 503, {"details": {"outcome": "none"}}, "refused"),
        (False, 503, {"errors": ["outcome: none"]}, "unknown"),
        (False, 400, {"errors": []}, "refused"),
    ],
)
def test_one_write(status: int, told: object, state: str, *, native: bool) -> None:
    """By either dialect; Vault's has no field that vouches."""
    write = Write("secret/a", "v")
    send_write(cast("Client", FakeClient(status, told)), write, native=native)
    assert (write.state, write.version, write.request_id) == (state, 3 * (state == "ok"), "id")
