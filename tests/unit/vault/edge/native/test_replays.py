"""`/api/v1/policies-replay`: a candidate goes in, counts and changes come out."""

from typing import Any


async def test_what_is_no_candidate_is_refused(wire: Any) -> None:
    """Before anything is asked."""
    for body in ({"write": ["app"]}, {"since": "today"}, {"limit": 501}, {"wirte": []}):
        assert (await wire.ask("POST", "policies-replay", body)).status == 400
    assert wire.gate.asked == []
