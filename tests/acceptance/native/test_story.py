"""The native API from end to end: people, keys, secrets, and the audit log of it all."""

import base64
import json
from typing import Any

from tests.acceptance.agent import Agent, Client
from tests.acceptance.workers.waiting import await_true
from vault.audit import proof
from vault.audit.keys import VerifyKeys
from vault.crypto.digest import sha256
from vault.crypto.note_signing import is_note_signature_valid

API = "/api/v1"


def ok(client: Client | Agent, method: str, path: str, body: object = None, **more: Any) -> Any:
    """The decoded answer of a request that must go well."""
    answer = client.call(method, f"{API}/{path}", body, **more)
    assert answer.status in {200, 201, 204}, answer.body
    return answer.json


def test_a_person_with_a_key(shared_agent: Agent) -> None:
    """A policy, a role and a user give a key its rights; each of them taken away, they are gone."""
    rule = {"effect": "allow", "paths": ["secret/team/*"], "capabilities": ["read", "create"]}
    ok(shared_agent, "PUT", "policies/team", {"rules": [rule]})
    ok(shared_agent, "PUT", "roles/dev", {"policies": ["team"]})
    user = ok(shared_agent, "POST", "users", {"username": "ann", "roles": ["dev"]})
    key = ok(shared_agent, "POST", "keys", {"user": "ann", "name": "ci"})["key"]
    with shared_agent.client(key) as ann:
        ok(ann, "POST", "secrets", {"name": "secret/team/db", "value": {"password": "x"}})
        assert ok(ann, "GET", "secrets/secret/team/db")["value"] == {"password": "x"}
        assert ann.call("GET", f"{API}/secrets/secret/other").status == 403
        assert ann.call("PUT", f"{API}/secrets/secret/team/db", {"value": 1}).status == 403
        ok(shared_agent, "PUT", "roles/dev", {"policies": []})
        assert ann.call("GET", f"{API}/secrets/secret/team/db").status == 403
        ok(shared_agent, "PATCH", f"users/{user['id']}", {"policies": ["team"]})
        ok(ann, "GET", "secrets/secret/team/db")
        ok(shared_agent, "PATCH", f"users/{user['id']}", {"status": "disabled"})
        assert ann.call("GET", f"{API}/secrets/secret/team/db").status == 401


def test_a_key_that_is_cut_down(shared_agent: Agent) -> None:
    """It may less than its user; revoked, it may nothing, from the next request on."""
    rule = {"effect": "allow", "paths": ["secret/cut/*"], "capabilities": ["*"]}
    ok(shared_agent, "PUT", "policies/cut", {"rules": [rule]})
    ok(shared_agent, "POST", "users", {"username": "bob", "policies": ["cut"]})
    permissions = [{"capabilities": ["read"], "paths": ["secret/cut/*"]}]
    body = {"user": "bob", "name": "ci", "permissions": permissions}
    made = ok(shared_agent, "POST", "keys", body)
    ok(shared_agent, "POST", "secrets", {"name": "secret/cut/a", "value": 1})
    with shared_agent.client(made["key"]) as bob:
        assert ok(bob, "GET", "secrets/secret/cut/a")["value"] == 1
        assert bob.call("DELETE", f"{API}/secrets/secret/cut/a").status == 403
        (listed,) = ok(shared_agent, "GET", "keys?user=bob")["keys"]
        assert "key" not in listed
        await_true(lambda: ok(shared_agent, "GET", "keys?user=bob")["keys"][0]["uses"] == 2)
        ok(shared_agent, "DELETE", f"keys/{made['id']}")
        assert bob.call("GET", f"{API}/secrets/secret/cut/a").status == 401


def test_the_life_of_a_secret(shared_agent: Agent) -> None:
    """Created, changed with check-and-set, patched, rolled back, deleted, destroyed, purged."""
    at = "secret/life"
    ok(shared_agent, "POST", "secrets", {"name": at, "value": {"n": 1}, "tags": ["t"]})
    again = shared_agent.call("POST", f"{API}/secrets", {"name": at, "value": 1})
    assert (again.status, again.json["code"]) == (409, "secret_exists")
    ok(shared_agent, "PUT", f"secrets/{at}", {"value": {"n": 2}, "cas": 1})
    stale = shared_agent.call("PUT", f"{API}/secrets/{at}", {"value": 3, "cas": 1})
    assert (stale.status, stale.json["code"]) == (409, "cas_mismatch")
    merge = {"Content-Type": "application/merge-patch+json"}
    ok(shared_agent, "PATCH", f"secrets/{at}", {"m": 3}, headers=merge)
    assert ok(shared_agent, "GET", f"secrets/{at}")["value"] == {"n": 2, "m": 3}
    ok(shared_agent, "POST", f"rollback/{at}", {"version": 1})
    assert ok(shared_agent, "GET", f"secrets/{at}")["value"] == {"n": 1}
    assert [v["version"] for v in ok(shared_agent, "GET", f"versions/{at}")] == [1, 2, 3, 4]
    ok(shared_agent, "POST", f"delete/{at}", {"versions": [2]})
    assert shared_agent.call("GET", f"{API}/secrets/{at}?version=2").status == 404
    ok(shared_agent, "POST", f"undelete/{at}", {"versions": [2]})
    ok(shared_agent, "POST", f"destroy/{at}", {"versions": [2]})
    assert shared_agent.call("GET", f"{API}/secrets/{at}?version=2").status == 404
    ok(shared_agent, "PATCH", f"metadata/{at}", {"metadata": {"env": "test"}})
    found = ok(shared_agent, "GET", "secrets?prefix=secret&tags=t&metadata=env:test")["secrets"]
    assert [row["name"] for row in found] == [at]
    ok(shared_agent, "DELETE", f"metadata/{at}")
    assert shared_agent.call("GET", f"{API}/secrets/{at}").status == 404


def test_what_happened_can_be_found_and_proven(shared_agent: Agent) -> None:
    """A request is found by its id; its record is proven with nothing but the public key."""
    answer = shared_agent.call("GET", f"{API}/secrets/secret/none")
    assert answer.status == 404
    for _ in range(2_000):  # the index follows the log
        found = ok(shared_agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
        if found:
            break
    (event,) = found
    assert (event["operation"], event["path"], event["result"], event["code"]) == (
        "secret.read", "secret/none", "failed", "secret_not_found",
    )  # fmt: skip
    first = json.loads(ok(shared_agent, "GET", "audit/proofs/0")["record"])
    public = base64.b64decode(first["body"]["public_key"])
    given = ok(shared_agent, "GET", f"audit/proofs/{event['seq']}")
    proven = proof.verify_proof(
        proof.Proof(**given), VerifyKeys(sha256, is_note_signature_valid), public
    )
    assert proven.body["request_id"] == answer.request_id
    assert shared_agent.call("GET", f"{API}/audit/proofs/99999999").status == 404


def test_a_value_can_be_looked_for(shared_agent: Agent) -> None:
    """By its hash, which is in the log; the value itself is nowhere in it."""
    canary = "canary-of-the-audit-log-17"
    ok(shared_agent, "POST", "secrets", {"name": "secret/canary", "value": {"p": canary}})
    hashed = ok(shared_agent, "POST", "audit/hash", {"value": canary})["hash"]
    log = shared_agent.audit_log.read_text()
    assert hashed in log
    assert canary not in log


def test_a_token_of_ones_own(shared_agent: Agent) -> None:
    """Made, looked at, renewed and revoked by its holder; then it is nothing."""
    body = {"policies": ["default"], "ttl": "1h", "metadata": {"for": "test"}}
    made = ok(shared_agent, "POST", "tokens", body)
    with shared_agent.client(made["token"]) as holder:
        seen = ok(holder, "GET", "tokens/self")
        assert (seen["accessor"], seen["metadata"]) == (made["accessor"], {"for": "test"})
        assert "token" not in seen
        assert ok(holder, "POST", "tokens/self/renew", {"increment": "30m"})["renewed_at"]
        assert holder.call("GET", f"{API}/tokens/{made['accessor']}").status == 403
        ok(holder, "DELETE", "tokens/self")
        assert holder.call("GET", f"{API}/tokens/self").status == 401
    assert shared_agent.call("GET", f"{API}/tokens/{made['accessor']}").status == 404


def test_would_this_be_allowed(shared_agent: Agent) -> None:
    """A dry run says by which rule, or what is missing."""
    rule = {"effect": "allow", "paths": ["secret/dry/*"], "capabilities": ["read"]}
    ok(shared_agent, "PUT", "policies/dry", {"rules": [rule]})
    asked = {"capability": "read", "path": "secret/dry/a", "policies": ["dry"]}
    assert ok(shared_agent, "POST", "policies-dry-run", asked)["rule"] == "dry/rules[0]"
    refused = ok(shared_agent, "POST", "policies-dry-run", {**asked, "capability": "update"})
    assert not refused["allowed"]
    assert refused["missing"]


def test_keys_of_the_vault(shared_agent: Agent) -> None:
    """Rotated, every old value still opens; rewrapped, all are under the new key."""
    ok(shared_agent, "POST", "secrets", {"name": "secret/old", "value": "kept"})
    generation = ok(shared_agent, "POST", "system/rotate")["generation"]
    assert ok(shared_agent, "GET", "system/key-status")["generation"] == generation
    assert ok(shared_agent, "GET", "secrets/secret/old")["key_id"] == f"kek-{generation - 1}"
    ok(shared_agent, "POST", "system/rewrap")
    shown = ok(shared_agent, "GET", "secrets/secret/old")
    assert (shown["value"], shown["key_id"]) == ("kept", f"kek-{generation}")


def test_a_secret_below_no_mount_is_refused(shared_agent: Agent) -> None:
    """Vault's clients could not reach it; the error says how to make the mount."""
    body = {"name": "nomount/x", "value": "lost"}
    refused = shared_agent.call("POST", "/api/v1/secrets", body)
    assert (refused.status, refused.json["code"]) == (400, "no_mount"), refused.body
    assert "freehold mount create nomount/" in refused.json["message"]
