"""`/api/v1/audit`: what is asked of the log, and how its answers look."""

import json
from typing import Any

from protocols.instant import parse_rfc3339
from vault.audit.query import AuditPage, AuditQuery


async def test_events_are_searched_by_all_filters(wire: Any) -> None:
    """Every filter of the query reaches the search, times as nanoseconds."""
    wire.gate.answers["audit.query"] = AuditPage(events=[], cursor="7")
    reply = await wire.ask(
        "GET",
        "audit/events?since=2026-01-01T00:00:00Z&actor_id=a&operation=secret.read&path=secret/"
        "&result=denied&request_id=r&cursor=9&limit=5",
    )
    assert (reply.status, json.loads(reply.body)) == (200, {"events": [], "cursor": "7"})
    assert wire.asked == ("audit.query", "sys/audit")
    assert wire.last.payload == AuditQuery(
        since=parse_rfc3339("2026-01-01T00:00:00Z", "since"), until=0, actor_id="a",
        operation="secret.read", path="secret/", result="denied", request_id="r", cursor="9",
        limit=5,
    )  # fmt: skip
