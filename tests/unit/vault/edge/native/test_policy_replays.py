"""`/api/v1/policies-replay`: a candidate goes in, counts and changes come out."""

import json
from typing import Any

from protocols.instant import SECOND
from vault.model.policy_replay import (
    DecisionChange,
    PolicyReplayReport,
    ReplayPolicies,
    Stop,
    Undecided,
)

NOW = 1_800_000_000 * SECOND
CHANGE = DecisionChange(
    allowed=False, actor_id="u", actor_name="ann", operation="secret.read", capability="read",
    path="secret/a", rule="", rule_now="app/rules[0]", count=3, last=NOW, last_seq=7,
    last_ip="10.0.0.1", identity=b"i" * 16,
)  # fmt: skip
FOUND = PolicyReplayReport(
    since=NOW - SECOND, until=NOW, reached=NOW - SECOND, stopped=Stop.NOTHING, records=9,
    accesses=5, unchanged=1, denied=3, allowed=0, undecided={Undecided.CREDENTIAL_GONE: 1},
    drifted=0, changes=(CHANGE,), others=2,
)  # fmt: skip


async def test_a_candidate_is_asked_for_as_it_is(wire: Any) -> None:
    """Documents are validated by the handler, whose errors point at the faulty field."""
    wire.gate.answers["policy.replay"] = FOUND
    document = {"name": "app", "rules": []}
    body = {
        "write": [document], "delete": ["old"], "bundle": [document],
        "since": "2027-01-15T07:00:00Z", "until": "2027-01-15T08:00:00Z", "limit": 5,
    }  # fmt: skip
    reply = await wire.ask("POST", "policies-replay", body)
    assert wire.asked == ("policy.replay", "sys/policies-replay")
    assert wire.last.payload == ReplayPolicies(
        write=(document,), delete=("old",), bundle=(document,), since=NOW - 3600 * SECOND,
        until=NOW, limit=5,
    )  # fmt: skip
    told = json.loads(reply.body)
    assert (told["denied"], told["undecided"], told["stopped"]) == (3, {"credential_gone": 1}, "")
    assert (told["reached"], told["others"]) == ("2027-01-15T07:59:59Z", 2)
    (change,) = told["changes"]
    assert (change["actor_name"], change["seq"], change["ip"]) == ("ann", 7, "10.0.0.1")
    assert change["last"] == "2027-01-15T08:00:00Z"
    assert "identity" not in change


async def test_left_out_it_is_the_last_day_and_nothing_is_changed(wire: Any) -> None:
    """The control plane's policies stay, too."""
    wire.gate.answers["policy.replay"] = FOUND
    await wire.ask("POST", "policies-replay", {})
    asked = wire.last.payload
    assert (asked.until - asked.since, asked.bundle, asked.write) == (86_400 * SECOND, None, ())


async def test_what_is_no_candidate_is_refused(wire: Any) -> None:
    """Before anything is asked."""
    for body in ({"write": ["app"]}, {"since": "today"}, {"limit": 501}, {"wirte": []}):
        assert (await wire.ask("POST", "policies-replay", body)).status == 400
    assert wire.gate.asked == []
