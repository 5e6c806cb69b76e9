"""`/api/v1/audit`: what is asked of the log, and how its answers look."""

import json
from typing import Any

import pytest

from protocols.instant import parse_rfc3339
from vault.audit.broker import BrokerState, SinkState
from vault.audit.proof import Proof
from vault.audit.query import AuditPage, AuditQuery
from vault.model.payloads import HashAuditValue, ReadAuditRecord


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


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "result=maybe", "since=yesterday", "x=1"])
async def test_a_wrong_filter_is_refused(wire: Any, query: str) -> None:
    """No search is made with a filter that means nothing."""
    assert (await wire.ask("GET", f"audit/events?{query}")).status == 400
    assert wire.gate.asked == []


async def test_a_proof_is_of_one_record(wire: Any) -> None:
    """The record is named by its number; anything else is refused."""
    proof = Proof(record="{}", seq=5, path=["ab"], checkpoint="note")
    wire.gate.answers["audit.proof"] = proof
    reply = await wire.ask("GET", "audit/proofs/5")
    assert json.loads(reply.body)["path"] == ["ab"]
    assert wire.last.payload == ReadAuditRecord(seq=5)
    for wrong in ("x", "-1", "1.0", "9" * 19):
        assert (await wire.ask("GET", f"audit/proofs/{wrong}")).status == 400


async def test_status_shows_every_sink(wire: Any) -> None:
    """A sink that fails is seen with its error."""
    sink = SinkState("audit.log", 3, behind=True, on_reserve=False, error="OSError: full")
    wire.gate.answers["audit.status"] = BrokerState(4, (sink,), "")
    body = json.loads((await wire.ask("GET", "audit/status")).body)
    assert body["size"] == 4
    assert body["sinks"][0]["error"] == "OSError: full"


async def test_a_value_is_hashed_for_a_search(wire: Any) -> None:
    """Any JSON value can be hashed, under a capability of its own."""
    wire.gate.answers["audit.hash"] = "hmac-sha256:00"
    reply = await wire.ask("POST", "audit/hash", {"value": False})
    assert json.loads(reply.body) == {"hash": "hmac-sha256:00"}
    assert wire.asked == ("audit.hash", "sys/audit-hash")
    assert wire.last.payload == HashAuditValue(value=False)
