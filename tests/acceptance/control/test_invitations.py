"""Becoming a member: by a link with a new account, or with the one that one has."""

import pytest

from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import PASSWORD, Plane

ALL = "organizations/acme/invitations"


def invited(plane: Plane, email: str, role: str = "operator") -> str:
    """What the link ends with."""
    made = plane.want(201, "POST", ALL, {"email": email, "role": role})
    secret: str = made["link"].partition("/#invitation=")[2]
    return secret


def test_a_link_makes_one_account(plane: Plane) -> None:
    """Whoever holds it is told what it is for, and is signed in; it is good once."""
    secret = invited(plane, "New@Corp.example")
    told = plane.want(200, "POST", "invitations/look", {"secret": secret}, token="")
    assert (told["organization"], told["email"]) == ("acme", "new@corp.example")
    browser = Browser(plane)
    body = {"secret": secret, "name": "newcomer", "password": PASSWORD}
    as_page = {**browser.own, "X-Freehold-Session": "cookie"}
    short = browser.ask("POST", "invitations/accept", body | {"password": "short"}, as_page)
    assert (short.status, short.json["code"]) == (400, "password_invalid")
    opened = browser.ask("POST", "invitations/accept", body, as_page).json
    assert opened["state"] == "open"
    browser.session_key = opened["session_key"]
    me = browser.ask("GET", "sessions/current").json
    assert (me["name"], me["role"]) == ("newcomer", "operator")
    for path in ("look", "accept"):
        again = plane.ask("POST", f"invitations/{path}", body if path == "accept" else
                          {"secret": secret}, token="")  # fmt: skip
        assert (again.status, again.json["code"]) == (404, "invitation_invalid")
    events = plane.want(200, "GET", "organizations/acme/audit?limit=500")
    assert ("invitations.accept", "acme/newcomer", "ok") in {
        (e["operation"], e["actor"], e["result"]) for e in events
    }
    assert secret not in str(events)


def test_an_account_joins_and_switches(plane: Plane) -> None:
    """One person, two organizations, a role in each; nothing of one is seen from the other."""
    browser = Browser(plane)
    browser.login("other", "owner")
    secret = invited(plane, "owner@other.example", "viewer")
    assert browser.ask("POST", "invitations/join", {"secret": secret}).status == 200
    assert browser.ask("GET", "organizations/acme/agents").status == 404  # not there yet
    moved = browser.ask("PUT", "sessions/current/organization", {"organization": "acme"})
    browser.session_key = moved.json["session_key"]
    me = browser.ask("GET", "sessions/current").json
    assert (me["organization"], me["home"], me["role"]) == ("acme", "other", "viewer")
    assert {(o["id"], o["role"]) for o in me["organizations"]} == {
        ("other", "owner"), ("acme", "viewer"),
    }  # fmt: skip
    assert browser.ask("GET", "organizations/acme/agents").status == 200
    assert browser.ask("GET", "organizations/other/agents").status == 404
    assert browser.ask("POST", "organizations/acme/agents", {"vault": "x"}).status == 403
    events = plane.want(200, "GET", "organizations/acme/audit?limit=3")
    assert ("other/owner", "denied") in {(e["actor"], e["result"]) for e in events}
    guests = plane.want(200, "GET", "organizations/acme/members")
    assert [(g["home"], g["name"]) for g in guests] == [("other", "owner")]
    plane.want(204, "DELETE", "organizations/acme/members/other/owner")
    assert browser.ask("GET", "whoami").status == 401


def test_what_ends_an_invitation(plane: Plane) -> None:
    """Withdrawal, and a newer one for the same address."""
    first, second = invited(plane, "twice@x.example"), invited(plane, "twice@x.example")
    assert plane.ask("POST", "invitations/look", {"secret": first}, token="").status == 404
    rows = plane.want(200, "GET", ALL)
    [row] = [row for row in rows if row["email"] == "twice@x.example"]
    plane.want(204, "DELETE", f"{ALL}/{row['id']}")
    assert plane.ask("POST", "invitations/look", {"secret": second}, token="").status == 404
    plane.want(404, "DELETE", f"{ALL}/{row['id']}")


def test_nobody_invites_above_the_own_role(plane: Plane) -> None:
    """Nor below admin at all."""
    new = {"email": "boss@x.example", "role": "owner"}
    plane.want(403, "POST", ALL, new, token=plane.people["acme", "admin"])
    plane.want(403, "POST", ALL, new | {"role": "viewer"}, token=plane.people["acme", "operator"])


@pytest.mark.parametrize(
    "email",
    ["nobody", "a@b", "a b@c.example", "a@c.example\nBcc: x@y.example", "<a@c.example>", "a@b@c.d",
     '"a"@c.example', "ä@c.example"],
)  # fmt: skip
def test_what_is_no_address(plane: Plane, email: str) -> None:
    """Nothing that could become a second header or a second address of a mail."""
    refused = plane.ask("POST", ALL, {"email": email, "role": "viewer"})
    assert (refused.status, refused.json["code"]) == (400, "email_invalid")
