"""Who may what in an organization, and that refusals are on record."""

from tests.acceptance.control.plane import Plane


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
    plane.want(403, "GET", "tallies", token=plane.people["acme", "owner"])


def test_refusals_are_on_record_and_the_chain_holds(plane: Plane) -> None:
    """Who was refused what can be looked up, and no record holds a password."""
    owner = plane.people["acme", "owner"]
    events = plane.want(200, "GET", "organizations/acme/audit?limit=500", token=owner)
    denied = {(e["operation"], e["actor"]) for e in events if e["result"] == "denied"}
    assert ("agents.register", "acme/viewer") in denied
    assert "correct horse" not in str(events)
    verdict = plane.want(200, "GET", "organizations/acme/audit/verify", token=owner)
    assert (verdict["broken_at"], verdict["size"]) == (0, events[0]["seq"])
