"""`/api/v1/policies`: documents go in as they are, and questions come back with a reason."""

import json
from typing import Any

from vault.authz.access import Decision
from vault.authz.policy import Policy
from vault.model.payloads import DryRunAccess


async def test_names_are_canonical(wire: Any) -> None:
    """A name's case makes no other policy, and a name with a space is refused."""
    wire.gate.answers["policy.read"] = Policy(name="app")
    assert (await wire.ask("GET", "policies/App")).status == 200
    assert wire.asked == ("policy.read", "sys/policies/app")
    wire.gate.asked.clear()
    for name in ("app%20", "%C3%84"):
        assert (await wire.ask("GET", f"policies/{name}")).status == 400
    assert wire.gate.asked == []


async def test_a_dry_run_about_the_caller_takes_no_policy(wire: Any) -> None:
    """Capability and path alone; anything that is supposed makes it an administrator's."""
    answer = Decision(allowed=False, unknown=("gone",))
    wire.gate.answers |= {"policy.check": answer, "policy.dry_run": answer}
    body = {"capability": "read", "path": "secret/a"}
    assert json.loads((await wire.ask("POST", "policies-dry-run", body)).body)["unknown"] == [
        "gone"
    ]
    assert wire.asked == ("policy.check", "sys/policies-dry-run")
    for more in ({"user": "a"}, {"ip": "10.0.0.1"}, {"policies": []}, {"tags": []}, {"mfa": False}):
        await wire.ask("POST", "policies-dry-run", body | more)
        assert wire.asked == ("policy.dry_run", "sys/policies-dry-run")


async def test_a_dry_run_asks_for_what_is_given(wire: Any) -> None:
    """What is left out stays open; a capability that does not exist is refused."""
    wire.gate.answers["policy.dry_run"] = Decision(allowed=False, missing=("a rule",))
    body = {"capability": "read", "path": "secret/a", "user": "alice", "tags": ["x"]}
    reply = await wire.ask("POST", "policies-dry-run", body)
    assert json.loads(reply.body)["missing"] == ["a rule"]
    assert wire.last.payload == DryRunAccess(
        capability="read", path="secret/a", user="alice", tags=("x",)
    )
    assert (await wire.ask("POST", "policies-dry-run", body | {"capability": "x"})).status == 400
