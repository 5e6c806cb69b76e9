"""`/api/v1/policies`: documents go in as they are, and questions come back with a reason."""

import json
from typing import Any

from vault.authz.access import Decision
from vault.authz.policy import Policy
from vault.authz.policy_store import Effective, PolicyNames
from vault.model.payloads import DryRunAccess, WritePolicy
from vault.model.records import PolicyRow

ROW = PolicyRow(
    name="app", id="i", version=2, document={}, created_at=10**18, updated_at=10**18,
    created_by="root",
)  # fmt: skip


async def test_a_policy_is_written_as_it_is(wire: Any) -> None:
    """The handler validates the document, so that its errors can point at the faulty field."""
    wire.gate.answers["policy.write"] = ROW
    document = {"rules": [{"effect": "allow", "paths": ["a"], "capabilities": ["read"]}]}
    reply = await wire.ask("PUT", "policies/app", document)
    assert json.loads(reply.body)["version"] == 2
    assert wire.asked == ("policy.write", "sys/policies/app")
    assert wire.last.payload == WritePolicy(document=document)


async def test_a_policy_is_looked_at_as_it_would_be_written(wire: Any) -> None:
    """The same document at the same path, and nothing is written."""
    wire.gate.answers["policy.validate"] = Policy(name="app")
    reply = await wire.ask("POST", "policies/App/validate", {"rules": []})
    assert json.loads(reply.body)["name"] == "app"
    assert wire.asked == ("policy.validate", "sys/policies/app")
    assert wire.last.payload == WritePolicy(document={"rules": []})


async def test_names_are_canonical(wire: Any) -> None:
    """A name's case makes no other policy, and a name with a space is refused."""
    wire.gate.answers["policy.read"] = Policy(name="app")
    assert (await wire.ask("GET", "policies/App")).status == 200
    assert wire.asked == ("policy.read", "sys/policies/app")
    wire.gate.asked.clear()
    for name in ("app%20", "%C3%84"):
        assert (await wire.ask("GET", f"policies/{name}")).status == 400
    assert wire.gate.asked == []


async def test_reading_listing_deleting(wire: Any) -> None:
    """Each goes to the path that policies name."""
    names = PolicyNames(["app", "root"], ["root"], ["app"])
    wire.gate.answers |= {"policy.read": Policy(name="app"), "policy.list": names}
    assert json.loads((await wire.ask("GET", "policies/app")).body)["name"] == "app"
    assert json.loads((await wire.ask("GET", "policies")).body) == {
        "policies": ["app", "root"], "local": ["root"], "control_plane": ["app"],
    }  # fmt: skip
    assert wire.asked == ("policy.list", "sys/policies/")
    assert (await wire.ask("DELETE", "policies/app")).status == 204
    assert wire.asked == ("policy.delete", "sys/policies/app")


async def test_effective(wire: Any) -> None:
    """Names that mean nothing are shown too."""
    wire.gate.answers["policy.effective"] = Effective(root=False, policies=(), unknown=("gone",))
    assert json.loads((await wire.ask("GET", "policies-effective")).body)["unknown"] == ["gone"]


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
