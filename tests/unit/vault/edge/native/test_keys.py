"""`/api/v1/keys`: a key's text is there once, in the answer that makes it."""

from typing import Any


async def test_what_is_not_known_is_refused(wire: Any) -> None:
    """A misspelt field is an error, so that a key is never wider than was meant."""
    body = {"user": "alice", "name": "ci", "permission": []}
    assert (await wire.ask("POST", "keys", body)).status == 400
    assert (await wire.ask("POST", "keys")).status == 400
    assert (await wire.ask("GET", "keys")).status == 400
    assert wire.gate.asked == []
