"""Mounts that move, their leases, and policies: the same requests to OpenBao and to Freehold."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from tests.acceptance.compat.calls import Call, answers_of, ask
from tests.acceptance.compat.conftest import Both

ACL = 'path "a" { capabilities = ["read"] }'
CONTROL = """path "MOUNT/data/cg" {
  capabilities = ["read", "update"]
  control_group = {
    factor "ops" { controlled_capabilities = ["read"]
      identity { group_names = ["a"]
        approvals = 1
      }
    }
  }
}"""
SHOWN = """path "MOUNT/data/*" { capabilities = ["read", "list"] }
path "MOUNT/data/x" {
  capabilities = ["create"]
  allowed_parameters = { "a" = ["1"] }
  min_wrapping_ttl = "1m"
  max_wrapping_ttl = "1h"
}
path "MOUNT/+/q" { capabilities = ["deny"] }
path "MOUNT/no*" { capabilities = ["deny", "read"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }"""
TTL = "sys/mounts/MOUNT-1/tune"
LEASES = [
    Call("POST", "sys/mounts/MOUNT-1", {
        "type": "kv", "options": {"version": "1"},
        "config": {"default_lease_ttl": "1h", "max_lease_ttl": "2h"},
    }),
    Call("GET", "sys/mounts/MOUNT-1"),
    Call("GET", TTL),
    Call("GET", "sys/internal/ui/mounts/MOUNT-1"),
    Call("POST", "MOUNT-1/a", {"x": 1}),
    Call("GET", "MOUNT-1/a"),
    Call("POST", "MOUNT-1/b", {"ttl": "10h"}),
    Call("GET", "MOUNT-1/b"),
    Call("POST", "MOUNT-1/c", {"ttl": "bad", "lease": "5m"}),
    Call("GET", "MOUNT-1/c"),
    Call("POST", "MOUNT-1/d", {"lease": "5m"}),
    Call("GET", "MOUNT-1/d"),
    Call("POST", TTL, {"default_lease_ttl": "3h"}),
    Call("POST", TTL, {"max_lease_ttl": "30m"}),
    Call("POST", TTL, {"default_lease_ttl": "30m"}),
    Call("GET", "MOUNT-1/a"),
    Call("POST", TTL, {"default_lease_ttl": "system"}),
    Call("GET", TTL),
    Call("POST", TTL, {"max_lease_ttl": 0, "default_lease_ttl": "900h"}),
    Call("GET", "MOUNT-1/a"),
    Call("POST", TTL, {"default_lease_ttl": "-1s"}),
    Call("GET", TTL),
    Call("GET", "MOUNT-1/a"),
    Call("POST", "sys/mounts/MOUNT-x", {"type": "kv", "config": {"default_lease_ttl": "900h"}}),
    Call("POST", "sys/mounts/MOUNT-x", {
        "type": "kv", "config": {"default_lease_ttl": "9h", "max_lease_ttl": "8h"},
    }),
    Call("GET", "sys/mounts/MOUNT-x"),
]  # fmt: skip
STATUS = Call("GET", "sys/remount/status/{id}", until="success")
MOVED = {"id": "migration_id"}
MOVES = [
    Call("POST", "sys/mounts/MOUNT-m", {"type": "kv", "options": {"version": "2"}}),
    Call("POST", "MOUNT-m/data/app/db", {"data": {"a": 1}}),
    Call("POST", "MOUNT-m/data/app/db", {"data": {"a": 2}}),
    Call("POST", "MOUNT-m/metadata/app/db", {"custom_metadata": {"k": "v"}}),
    Call("POST", "sys/remount", {"from": "MOUNT-m", "to": "MOUNT-n/deep"}, keep=MOVED),
    STATUS,
    Call("GET", "MOUNT-n/deep/data/app/db"),
    Call("GET", "MOUNT-n/deep/data/app/db?version=1"),
    Call("GET", "MOUNT-n/deep/metadata/app/db"),
    Call("LIST", "MOUNT-n/deep/metadata/"),
    Call("GET", "MOUNT-m/data/app/db"),
    Call("GET", "sys/mounts/MOUNT-n/deep"),
    Call("GET", "sys/mounts/MOUNT-m"),
    Call("GET", "sys/internal/ui/mounts/MOUNT-n/deep"),
    Call("POST", "sys/remount", {"from": "MOUNT-none", "to": "MOUNT-x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "MOUNT-n/deep"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "MOUNT-n"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "MOUNT-n/deep/er"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "MOUNT-1"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "MOUNT-1/x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "sys/x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "sys"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "auth/x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "auth"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": "identity/x"}),
    Call("POST", "sys/remount", {"from": "sys", "to": "MOUNT-x"}),
    Call("POST", "sys/remount", {"from": "cubbyhole", "to": "MOUNT-x"}),
    Call("POST", "sys/remount", {"from": "auth/token", "to": "auth/x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1", "to": ""}),
    Call("POST", "sys/remount", {"from": "", "to": "MOUNT-x"}),
    Call("POST", "sys/remount", {"from": "MOUNT-1"}),
    Call("POST", "sys/auth/MOUNT-a", {"type": "approle"}),
    Call("POST", "sys/remount", {"from": "auth/MOUNT-a", "to": "MOUNT-x"}),
    Call("POST", "sys/remount", {"from": "auth/MOUNT-a", "to": "auth/MOUNT-a/x"}),
    Call("POST", "sys/remount", {"from": "auth/MOUNT-none", "to": "auth/MOUNT-y"}),
    Call("POST", "sys/remount", {"from": "auth/MOUNT-a", "to": "auth/token/x"}),
    Call("POST", "sys/remount", {"from": "/auth/MOUNT-a/", "to": "auth/MOUNT-b/"}, keep=MOVED),
    STATUS,
    Call("GET", "sys/auth/MOUNT-b"),
    Call("GET", "sys/remount/status/none"),
    Call("POST", "sys/remount", {"from": "MOUNT-n/deep", "to": "MOUNT-m"}, keep=MOVED),
    STATUS,
    Call("GET", "MOUNT-m/data/app/db"),
]
CAS = "sys/policies/acl/MOUNT"
POLICIES = [
    Call("POST", CAS, {"policy": ACL, "cas": 5}),
    Call("POST", CAS, {"policy": ACL, "cas": 0}),
    Call("POST", CAS, {"policy": ACL, "cas": -1}),
    Call("POST", CAS, {"policy": ACL, "cas": 1}),
    Call("POST", CAS, {"policy": ACL, "cas": "1"}),
    Call("POST", CAS, {"policy": ACL, "cas_required": True}),
    Call("POST", CAS, {"policy": ACL, "cas_required": True, "cas": 2}),
    Call("POST", CAS, {"policy": ACL}),
    Call("POST", "sys/policy/MOUNT", {"policy": ACL}),
    Call("POST", "sys/policy/MOUNT", {"policy": ACL, "cas": 9}),
    Call("POST", CAS, {"policy": ACL, "cas": 3}),
    Call("POST", CAS, {"policy": ACL}),
    Call("DELETE", CAS),
    Call("POST", CAS, {"policy": ACL, "cas": -1}),
    Call("PUT", "sys/policies/acl/MOUNT-cg", {"policy": CONTROL}),
    Call("PUT", "sys/policies/acl/MOUNT-ui", {"policy": SHOWN}),
    Call("GET", "sys/internal/ui/resultant-acl"),
    Call("GET", "sys/internal/ui/resultant-acl", token=""),
    Call("POST", "auth/token/create", {"policies": ["MOUNT-cg"]},
         keep={"held": "auth.client_token"}),
    Call("POST", "sys/capabilities-self", {"path": "MOUNT/data/cg"}, token="{held}"),
]  # fmt: skip
RESULTANT = [
    Call("POST", "auth/token/create", {"policies": ["MOUNT-ui"], "no_default_policy": True},
         keep={"ui": "auth.client_token"}),
    Call("GET", "sys/internal/ui/resultant-acl", token="{ui}"),
]  # fmt: skip
IDENTITY = [
    Call("POST", "sys/auth/MOUNT-up", {"type": "userpass"}),
    Call("POST", "auth/MOUNT-up/users/ann", {"password": "pw-of-ann", "policies": "of-token"}),
    Call("POST", "auth/MOUNT-up/login/ann", {"password": "pw-of-ann"}, token="",
         keep={"entity": "auth.entity_id"}),
    Call("POST", "identity/entity/id/{entity}", {"policies": ["of-entity", "of-token"]}),
    Call("POST", "identity/group", {
        "name": "MOUNT-g", "policies": ["of-group"], "member_entity_ids": ["{entity}"],
    }),
    Call("POST", "auth/MOUNT-up/login/ann", {"password": "pw-of-ann"}, token="",
         keep={"ann": "auth.client_token"}),
    Call("POST", "auth/token/renew-self", {}, token="{ann}"),
]  # fmt: skip
CALLS = [*LEASES, *MOVES, *POLICIES, *RESULTANT, *IDENTITY]


def test_mounts_and_policies(both: Both, once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Each request is answered with the same status and the same body."""
    openbao, freehold = both
    expected = once("mounts", lambda: answers_of(openbao, "moves", CALLS))
    pairs = zip(CALLS, expected, answers_of(freehold, "moves", CALLS), strict=True)
    different = [(n, c, a, b) for n, (c, a, b) in enumerate(pairs) if a != b]
    assert not different, "\n".join(f"{n} {c}:\n  {a}\n  {b}" for n, c, a, b in different)


def test_moves_are_kept_and_a_control_group_refuses(both: Both) -> None:
    """OpenBao forgets its moves at a restart; it grants nothing that takes approval, either."""
    server, kept = both[1], {"root": both[1].token}
    for body in ({"from": "kept-a", "to": "kept-b"}, {"from": "kept-b", "to": "kept-c"}):
        if body["from"] == "kept-a":
            ask(server, Call("POST", "sys/mounts/kept-a", {"type": "kv"}), kept)
        status, told = ask(server, Call("POST", "sys/remount", body), kept)
        assert status == 200
        kept[body["to"]] = told["migration_id"]
    for to, source in (("kept-b", "kept-a/"), ("kept-c", "kept-b/")):
        status, told = ask(server, Call("GET", f"sys/remount/status/{kept[to]}"), kept)
        assert told["data"]["migration_info"]["source_mount"] == source
    name, path = "sys/policies/acl/control", "secret/data/cg"
    ask(server, Call("PUT", name, {"policy": CONTROL.replace("MOUNT", "secret")}), kept)
    ask(server, Call("POST", path, {"data": {"a": 1}}), kept)
    made = ask(server, Call("POST", "auth/token/create", {"policies": ["control"]}), kept)[1]
    kept["held"] = made["auth"]["client_token"]
    status, told = ask(server, Call("GET", path, token="{held}"), kept)
    assert status == 403
    assert "approval of a control group" in told["errors"][0]
    body = {"data": {"a": 2}}
    assert ask(server, Call("POST", path, body, token="{held}"), kept)[0] == 200
    assert ask(server, Call("DELETE", name), kept)[0] == 204


def test_help_is_of_the_routes(both: Both) -> None:
    """Of a path, of a whole mount, of a login; in the form that `bao path-help` reads."""
    server, kept = both[1], {"root": both[1].token}
    for path, words in (
        ("sys/mounts", "Every mount"),
        ("sys/policies/acl/x", "Delete a policy"),
        ("secret/data/x", "GET /data/{path}"),
        ("secret", "POST /undelete/{path}"),
        ("auth/token/create", "A child of the caller"),
    ):
        status, told = ask(server, Call("GET", f"{path}?help=1"), kept)
        assert (status, sorted(told)) == (200, ["help", "openapi", "see_also"]), path
        assert words in told["help"]
        assert told["openapi"]["paths"]
    assert ask(server, Call("GET", "sys/mounts?help=1", token=""), kept)[0] == 403
    assert ask(server, Call("GET", "sys/none?help=1"), kept)[0] == 404
    assert ask(server, Call("GET", "nowhere/x?help=1"), kept)[0] == 404
    made = ask(server, Call("POST", "auth/token/create", {"policies": ["default"]}), kept)[1]
    kept["held"] = made["auth"]["client_token"]
    assert ask(server, Call("GET", "sys/mounts?help=1", token="{held}"), kept)[0] == 200
    hidden = ask(server, Call("GET", "secret?help=1", token="{held}"), kept)
    assert hidden == ask(server, Call("GET", "nowhere?help=1", token="{held}"), kept)


def test_a_lookup_has_the_policies_of_the_entity(both: Both) -> None:
    """As OpenBao, in whatever order that has them."""
    seen = []
    for server in both:
        kept = {"root": server.token}
        for call in IDENTITY[:-1]:
            path, body = call.path.replace("MOUNT", "seen"), _named(call.body)
            answer = ask(server, msgspec.structs.replace(call, path=path, body=body), kept)[1]
            for name, at in call.keep.items():
                part, _, key = at.partition(".")
                kept[name] = answer[part][key]
        found = ask(server, Call("GET", "auth/token/lookup-self", token="{ann}"), kept)[1]["data"]
        seen.append((sorted(found["identity_policies"]), found["external_namespace_policies"]))
        assert found["policies"] == ["default", "of-token"]
    assert seen == [(["of-entity", "of-group", "of-token"], {})] * 2


def _named(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if body is None else json.loads(json.dumps(body).replace("MOUNT", "seen"))
