"""The second factor over the wire: two steps at sign-in, and again for what is dangerous."""

import sqlite3
import time

import pyotp
import pytest

from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import PASSWORD, Plane

LOGIN = {"organization": "acme", "name": "operator", "password": PASSWORD}


def code(secret: str, steps: int = 0) -> str:
    """What the authenticator shows, or will; the last step's counts until this one is over."""
    while steps < 0 and time.time() % 30 > 20:
        time.sleep(0.1)  # else a slow machine looks at it when it is the last but one's
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


@pytest.fixture(scope="module")
def secret(plane: Plane) -> str:
    """The operator's, in force."""
    browser = Browser(plane)
    browser.login("acme", "operator")
    begun = browser.ask("POST", "second-factor").json
    assert begun["uri"].startswith("otpauth://totp/Freehold:acme/operator?")
    assert begun["picture"].startswith("data:image/svg+xml;base64,")
    wrong = browser.ask("POST", "second-factor/confirm", {"code": "000000"})
    assert (wrong.status, wrong.json["code"]) == (403, "code_wrong")
    done = browser.ask("POST", "second-factor/confirm", {"code": code(begun["secret"], -1)})
    assert len(done.json["recovery_codes"]) == 10
    assert browser.ask("GET", "second-factor").json["active"]
    made: str = begun["secret"]
    return made


def test_sign_in_takes_two_steps(plane: Plane, secret: str) -> None:
    """The first gives no session, in no form; the second does, once."""
    browser = Browser(plane)
    as_page = {**browser.own, "X-Freehold-Session": "cookie"}
    first = browser.ask("POST", "sessions", LOGIN, as_page)
    assert (first.status, first.json["state"]) == (200, "second-factor")
    assert (first.json["secret"], first.json["session_key"], browser.jar) == ("", "", {})
    challenge = first.json["challenge"]
    assert plane.ask("GET", "whoami", token=challenge).status == 401
    planted = Browser(plane, {f"freehold-session-{plane.port}": challenge})
    assert planted.ask("GET", "whoami").status == 401
    answer = {"challenge": challenge, "code": code(secret)}
    foreign = {"Origin": "https://evil.example", "X-Freehold-Session": "cookie"}
    assert browser.ask("POST", "second-factor/answer", answer, foreign).status == 403
    second = browser.ask("POST", "second-factor/answer", answer, as_page)
    assert (second.status, second.json["state"]) == (200, "open")
    browser.session_key = second.json["session_key"]
    assert browser.ask("GET", "sessions/current").json["second_factor"] is True
    assert browser.ask("POST", "second-factor/answer", answer, as_page).status == 401
    events = plane.want(200, "GET", "organizations/acme/audit?limit=20")
    told = [(e["actor"], e["result"]) for e in events if e["operation"] == "second-factors.answer"]
    assert ("acme/operator", "ok") in told
    assert challenge not in str(events)
    assert answer["code"] not in str([e["detail"] for e in events])


def test_what_is_dangerous_asks_again(plane: Plane) -> None:
    """Ten minutes after the last proof: refused and on the trail until one shows who one is."""
    browser = Browser(plane)
    opened = browser.login("acme", "owner")
    with sqlite3.connect(plane.data / "control.db", timeout=30) as database:
        database.execute("UPDATE tokens SET proven_at = 0 WHERE id = ?", [opened["token"]["id"]])
    database.close()
    new = {"role": "viewer", "ttl": 60}
    refused = browser.ask("POST", "tokens", new)
    assert (refused.status, refused.json["code"]) == (403, "step_up")
    path = "sessions/current/confirm"
    assert browser.ask("POST", path, {"password": "wrong"}).status == 403
    assert browser.ask("POST", path, {"password": PASSWORD}).status == 204
    assert browser.ask("POST", "tokens", new).status == 201
    events = plane.want(200, "GET", "organizations/acme/audit?limit=20")
    assert ("tokens.create_token", "step_up") in {(e["operation"], e["code"]) for e in events}


def test_a_program_does_not_touch_it(plane: Plane, secret: str) -> None:
    """By an API token nobody has a part in people's matters: neither the owner's nor others'.

    No recovery codes, no other token, no membership, no session's end but its own.
    """
    browser = Browser(plane)
    challenge = browser.ask("POST", "sessions", LOGIN).json["challenge"]
    answer = {"challenge": challenge, "code": code(secret, 1)}
    person = plane.want(200, "POST", "second-factor/answer", answer, token="")["secret"]
    new = {"role": "viewer", "ttl": 60}
    program = plane.want(201, "POST", "tokens", new, token=person)["secret"]
    mine = plane.want(200, "GET", "sessions/current", token=person)["session"]
    asked = {"email": "operator@acme.example", "role": "viewer"}
    link = plane.want(201, "POST", "organizations/other/invitations", asked)["link"]
    invited = link.partition("=")[2]
    for method, path, body in (
        ("POST", "second-factor", None),
        ("POST", "second-factor/confirm", {"code": "000000"}),
        ("POST", "second-factor/recovery-codes", None),
        ("DELETE", "second-factor", None),
        ("POST", "second-factor/replacement", {"code": "000000"}),
        ("POST", "tokens", new),
        ("GET", "sessions", None),
        ("DELETE", f"sessions/{mine}", None),
        ("DELETE", f"organizations/acme/tokens/{mine}", None),
        ("POST", "invitations/join", {"secret": invited}),
        ("PUT", "password", {"old": PASSWORD, "new": PASSWORD}),
    ):
        refused = plane.ask(method, path, body, token=program)
        assert (refused.status, refused.json["code"]) == (403, "person_needed"), path
    assert plane.want(200, "GET", "second-factor", token=program)["active"]
    plane.want(200, "GET", "whoami", token=person)
    plane.want(204, "DELETE", "sessions/current", token=program)
    plane.want(401, "GET", "whoami", token=program)
    plane.want(200, "GET", "whoami", token=person)


def test_an_organization_demands_it(plane: Plane) -> None:
    """Its owner says so; whoever signs in then sets one up on the way, with no other way in."""
    owner = Browser(plane)
    owner.login("other", "owner")
    told = owner.ask("PATCH", "organizations/other", {"second_factor": True})
    assert told.json["second_factor"] is True
    assert owner.ask("GET", "whoami").status == 401
    login = {"organization": "other", "name": "viewer", "password": PASSWORD}
    first = plane.want(200, "POST", "sessions", login, token="")
    assert (first["state"], first["secret"]) == ("enrolment", "")
    asked = {"challenge": first["challenge"]}
    begun = plane.want(200, "POST", "second-factor/enrolment", asked, token="")
    answer = {**asked, "code": code(begun["secret"])}
    done = plane.want(200, "POST", "second-factor/enrolment/confirm", answer, token="")
    assert plane.want(200, "GET", "whoami", token=done["session"]["secret"])["name"] == "viewer"
    gone = plane.ask("DELETE", "second-factor", token=done["session"]["secret"])
    assert (gone.status, gone.json["code"]) == (409, "second_factor_demanded")


def test_an_admin_helps_who_lost_it(plane: Plane, secret: str) -> None:
    """And that is on the trail; a viewer does not."""
    path = "organizations/acme/users/operator/second-factor"
    plane.want(403, "DELETE", path, token=plane.people["acme", "viewer"])
    plane.want(204, "DELETE", path, token=plane.people["acme", "admin"])
    plane.want(404, "DELETE", path, token=plane.people["acme", "admin"])
    assert plane.want(200, "POST", "sessions", LOGIN, token="")["state"] == "open"
    events = plane.want(200, "GET", "organizations/acme/audit?limit=20")
    found = {(e["operation"], e["actor"], e["target"], e["result"]) for e in events}
    assert ("second-factors.reset", "acme/admin", "operator", "ok") in found


def test_an_owners_token_lets_nobody_in(plane: Plane) -> None:
    """One that leaked makes no account, no invitation, no member and no password."""
    new = {"role": "owner", "ttl": 600}
    owner = plane.people["acme", "owner"]
    program = plane.want(201, "POST", "tokens", new, token=owner)["secret"]
    org = "organizations/acme"
    for method, path, body in (
        ("POST", f"{org}/users", {"name": "eve", "role": "owner", "password": PASSWORD}),
        ("PATCH", f"{org}/users/viewer", {"role": "owner"}),
        ("PUT", f"{org}/users/viewer/password", {"password": PASSWORD}),
        ("POST", f"{org}/invitations", {"email": "eve@evil.example", "role": "owner"}),
        ("DELETE", f"{org}/users/viewer/second-factor", None),
        ("DELETE", f"{org}/identity-provider", None),
        ("PATCH", org, {"second_factor": False}),
    ):
        refused = plane.ask(method, path, body, token=program)
        assert (refused.status, refused.json["code"]) == (403, "person_needed"), path
    plane.want(200, "GET", f"{org}/users", token=program)
    plane.want(200, "GET", f"{org}/agents", token=program)


def test_what_is_dangerous_says_so_in_the_document(plane: Plane) -> None:
    """For every operation, so that a client asks before it is refused."""
    document = plane.want(200, "GET", "openapi.json", token="")
    paths = document["paths"]
    lock = paths["/api/v1/organizations/{org}/agents/{vault}/lock"]["post"]
    assert (lock["x-step-up"], lock["x-api-token"]) == (True, True)
    create = paths["/api/v1/organizations/{org}/users"]["post"]
    assert (create["x-step-up"], create["x-api-token"]) == (True, False)
    assert "person_needed" in create["description"]
    assert "x-step-up" not in paths["/api/v1/sessions"]["post"]
