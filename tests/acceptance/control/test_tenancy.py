"""No organization reaches into another one: every path with an id, with a foreign id, is a 404."""

from typing import Any

import pytest

from tests.acceptance.control.plane import Plane

DOCUMENT = {"rules": [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}]}


@pytest.fixture(scope="module")
def things(plane: Plane) -> dict[str, str]:
    """One of everything in `other`: path parameter to its id."""
    base = "organizations/other"
    plane.want(201, "POST", f"{base}/agents", {"vault": "theirs"})
    plane.want(201, "POST", f"{base}/policies/theirs/versions", {"document": DOCUMENT})
    rollout = plane.want(201, "POST", f"{base}/policies/theirs/rollouts", {"version": 1})
    made = plane.want(
        201, "POST", "tokens", {"role": "viewer", "ttl": 600}, token=plane.people["other", "owner"]
    )
    new = {"email": "them@other.example", "role": "viewer"}
    invited = plane.want(201, "POST", f"{base}/invitations", new)
    new = {"name": "theirs", "type": "slack", "url": "https://hooks.example/services/x"}
    channel = plane.want(201, "POST", f"{base}/channels", new)
    ticket = plane.want(201, "POST", f"{base}/enrolment-tokens", {"vault": "another"})
    told = {"title": "T", "frameworks": ["soc2"]}
    report = plane.want(201, "POST", f"{base}/reports", told | {"since": 1, "until": 86_400})
    schedule = plane.want(201, "POST", f"{base}/report-schedules", told | {"cron": "0 6 * * *"})
    word = {"framework": "soc2", "control": "CC1.4", "text": "theirs"}
    note = plane.want(201, "POST", f"{base}/control-notes", word)
    hold = plane.want(201, "POST", f"{base}/holds", {"reason": "case"})
    return {
        "vault": "theirs",
        "policy": "theirs",
        "number": "1",
        "user": "viewer",
        "home": "acme",
        "invitation": invited["invitation"]["id"],
        "rollout": rollout["id"],
        "token": made["token"]["id"],
        "alert": "00000000-0000-4000-8000-000000000000",
        "channel": channel["channel"]["id"],
        "delivery": "00000000-0000-4000-8000-000000000002",
        "join": "00000000-0000-4000-8000-000000000001",
        "ticket": ticket["token"]["id"],
        "report": report["id"],
        "schedule": schedule["id"],
        "note": note["id"],
        "hold": hold["id"],
    }


def operations(plane: Plane) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the served document that names an organization."""
    document = plane.want(200, "GET", "openapi.json", token="")
    return [
        (method.upper(), path.removeprefix("/api/v1/"), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "{org}" in path
    ]


def filled(template: str, org: str, things: dict[str, str]) -> str:
    """The path with these ids."""
    return template.replace("{org}", org).format(**things)


def test_a_foreign_organization_is_not_found(plane: Plane, things: dict[str, str]) -> None:
    """For its owner as for anybody, with a body or without, whatever is there: 404, one text."""
    found = operations(plane)
    assert len(found) > 35
    owner = plane.people["acme", "owner"]
    for method, template, _ in found:
        real = plane.ask(method, filled(template, "other", things), token=owner)
        made_up = plane.ask(method, filled(template, "nowhere", things), token=owner)
        assert (real.status, made_up.status) == (404, 404), (method, template, real.body)
        assert real.json["message"] == made_up.json["message"], (method, template)
    events = plane.want(200, "GET", "organizations/acme/audit?limit=500", token=owner)
    tried = {e["operation"] for e in events if e["target"].partition("/")[0] == "other"}
    assert tried == {operation["operationId"].replace("_", ".", 1) for _, _, operation in found}
    theirs = plane.want(200, "GET", "organizations/other/audit?limit=500")
    assert not [e for e in theirs if e["actor"] == "acme/owner"]  # no stranger writes there


def test_a_foreign_id_in_the_own_organization_is_not_found(
    plane: Plane, things: dict[str, str]
) -> None:
    """The right organization, somebody else's thing in it."""
    owner = plane.people["acme", "owner"]
    foreign = {**things, "user": "nobody"}
    bodies = {
        "agents_tag": {"tags": []},
        "users_change_user": {},
        "members_change_guest": {"role": "viewer"},
        "users_set_password": {"password": "another long one"},
        "policies_point": {"targets": []},
        "rollouts_start": {"version": 1},
        "channels_change": {"name": "x", "type": "slack"},
        "agents_command": {"command": "run_backup"},
        "holds_lift": {"reason": "x"},
        "joins_approve": {"fingerprint": "0000-0000-0000-0000-0000", "vault": "x"},
    }
    makes = {"policies_write", "policies_validate"}  # a policy begins with its first version
    for method, template, operation in operations(plane):
        if template.count("{") < 2 or operation["operationId"] in makes:
            continue
        path = filled(template, "acme", foreign)
        if "requestBody" in operation or "query" in str(operation["parameters"]):
            path += {"policies_diff": "?old=1&new=1", "metrics_samples": "?name=reads"}.get(
                operation["operationId"], ""
            )
        answer = plane.ask(method, path, bodies.get(operation["operationId"]), token=owner)
        assert answer.status == 404, (method, path, answer.status, answer.body)


def test_nothing_was_changed_by_trying(plane: Plane, things: dict[str, str]) -> None:
    """What belongs to the other organization is as it was."""
    theirs = plane.people["other", "viewer"]
    agent = plane.want(200, "GET", "organizations/other/agents/theirs", token=theirs)
    assert agent["life"] == "pending"
    assert plane.want(200, "GET", "organizations/other/users/viewer", token=theirs)
    versions = plane.want(200, "GET", "organizations/other/policies/theirs/versions", token=theirs)
    assert len(versions) == 1


def test_what_is_open_to_everybody_is_a_named_list(plane: Plane) -> None:
    """Without a credential all else is 401, malformed or not."""
    document = plane.want(200, "GET", "openapi.json", token="")
    public = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            template = path.removeprefix("/api/v1/")
            if operation.get("security") == []:
                public.add(operation["operationId"])
                continue
            filled_path = template.replace("{", "").replace("}", "")
            answer = plane.ask(method.upper(), filled_path, {"x": [1]}, token="")
            assert answer.status == 401, (method, path, answer.status)
    assert public == {
        "api_openapi",
        "invitations_accept",
        "invitations_look",
        "oidc_begin",
        "oidc_callback",
        "second-factors_answer",
        "second-factors_enrol",
        "second-factors_enrolled",
        "sessions_login",
    }


def test_roles_are_kept(plane: Plane) -> None:
    """A viewer reads, an operator changes agents, an admin people; nobody makes a superior."""
    path = "organizations/acme/agents"
    for role, status in (("viewer", 403), ("operator", 201)):
        token = plane.people["acme", role]
        plane.want(200, "GET", path, token=token)
        plane.want(status, "POST", path, {"vault": f"by-{role}"}, token=token)
    new = {"name": "x", "role": "owner", "password": "correct horse battery"}
    for role in ("viewer", "operator", "admin"):
        plane.want(403, "POST", "organizations/acme/users", new, token=plane.people["acme", role])
    admin = plane.people["acme", "admin"]
    plane.want(403, "PATCH", "organizations/acme/users/owner", {"disabled": True}, token=admin)
    plane.want(403, "POST", "organizations", {"id": "mine"}, token=plane.people["acme", "owner"])
    plane.want(403, "GET", "organizations", token=plane.people["acme", "owner"])


def test_refusals_are_on_record_and_the_chain_holds(plane: Plane) -> None:
    """Who was refused what can be looked up, and no record holds a password."""
    owner = plane.people["acme", "owner"]
    events = plane.want(200, "GET", "organizations/acme/audit?limit=500", token=owner)
    denied = {(e["operation"], e["actor"]) for e in events if e["result"] == "denied"}
    assert ("agents.register", "acme/viewer") in denied
    assert "correct horse" not in str(events)
    verdict = plane.want(200, "GET", "organizations/acme/audit/verify", token=owner)
    assert (verdict["broken_at"], verdict["size"]) == (0, events[0]["seq"])
