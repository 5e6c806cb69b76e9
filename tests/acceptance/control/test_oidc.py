"""Signing in at a real, certified provider: the way of a browser, and what goes wrong on it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import Plane, dev_plane
from tests.oidc.provider import provider

CLIENT, SECRET = "freehold", "a secret:with/odd characters"
ACCOUNTS: dict[str, dict[str, Any]] = {
    "u-ann": {"email": "ann@corp.example", "email_verified": True, "groups": ["staff", "sec"]},
    "u-ann2": {"email": "ann@corp.example", "email_verified": True, "groups": ["staff"]},
    "u-eve": {"email": "eve@corp.example", "email_verified": False, "groups": ["staff"]},
    "u-joe": {"email": "joe@else.example", "email_verified": True, "groups": ["staff"]},
    "u-nil": {"groups": ["staff"]},
    "u-out": {"email": "out@corp.example", "email_verified": True, "groups": ["guests"]},
}
ONE = "organizations/acme/identity-provider"
TERMS = {
    "domains": ["corp.example"],
    "role_claim": "groups",
    "roles": {"staff": "viewer", "sec": "admin"},
}


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """With the organization `acme`."""
    with own_folder() as path:
        made = dev_plane(path)
        with running(made):
            made.sign_in()
            made.organization("acme")
            made.organization("other")
            yield made


@pytest.fixture(scope="module")
def issuer(plane: Plane) -> Iterator[str]:
    """A provider that acme has taken."""
    redirect = f"{plane.address}/api/v1/oidc/callback"
    with provider(CLIENT, SECRET, redirect, ACCOUNTS) as running_at:
        plane.want(200, "PUT", ONE, settings(running_at))
        yield running_at


def settings(issuer: str, **terms: object) -> dict[str, object]:
    """What acme says of the provider."""
    return {
        "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET, "terms": TERMS | terms,
    }  # fmt: skip


def sent_back(browser: Browser, account: str, invitation: str = "") -> tuple[str, str]:
    """Begin, and go through the provider as this account.

    Where it sends the browser then, and the verifier that our page keeps.
    """
    body = {"organization": "acme", "invitation": invitation}
    begun = browser.ask("POST", "oidc/begin", body)
    assert begun.status == 200, begun.body
    at = f"{begun.json['url']}&login_hint={account}"
    with httpx2.Client() as http:
        for _ in range(6):
            reply = http.get(at)
            at = reply.headers.get("location", "")
            if not at or at.startswith(browser.plane.address):
                break
            at = str(reply.url.join(at))
    assert at.startswith(browser.plane.address), (reply.status_code, reply.text[:300])
    parts = urlsplit(at)
    return f"{parts.path}?{parts.query}", begun.json["verifier"]


def came_back(browser: Browser, account: str, invitation: str = "") -> tuple[str, str]:
    """And come back: where our own page is then. Another site's page has sent the browser."""
    path, verifier = sent_back(browser, account, invitation)
    answer = browser.ask("GET", path, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 303, answer.body
    return answer.headers["location"], verifier


def came_in(browser: Browser, account: str, invitation: str = "") -> Any:
    """All of it: what our own page is told in the end."""
    location, verifier = came_back(browser, account, invitation)
    assert location.startswith("/#signin="), location
    answer = browser.collect(location.removeprefix("/#signin="), verifier)
    assert answer.status == 200, answer.body
    return answer.json


def test_an_allowed_domain_gets_an_account(plane: Plane, issuer: str) -> None:
    """With the role of the claim, one account however often, and the trail says who."""
    for _ in range(2):
        browser = Browser(plane)
        assert came_in(browser, "u-ann")["state"] == "open"
        me = browser.ask("GET", "sessions/current").json
        assert (me["organization"], me["name"], me["role"]) == ("acme", "ann", "admin")
        assert set(browser.jar) == {f"freehold-session-{plane.port}"}
    users = plane.want(200, "GET", "organizations/acme/users")
    assert [(u["name"], u["email"]) for u in users if u["email"]] == [("ann", "ann@corp.example")]
    events = plane.want(200, "GET", "organizations/acme/audit?limit=9")
    told = {(e["operation"], e["actor"], e["result"]) for e in events}
    assert {("oidc.callback", "acme/ann", "ok"), ("oidc.collect", "acme/ann", "ok")} <= told


def test_what_a_login_gives_is_for_the_page_that_began(plane: Plane, issuer: str) -> None:
    """Neither the way back nor its code is a session: no cookie is set, and the code needs proof.

    So a session that somebody else's provider account opened is not planted either (login CSRF).
    """
    browser, other = Browser(plane), Browser(plane)
    location, verifier = came_back(browser, "u-ann")
    code = location.removeprefix("/#signin=")
    assert browser.jar == {}
    assert plane.ask("GET", "whoami", token=code).status == 401
    foreign = other.ask("POST", "oidc/begin", {"organization": "acme"}).json["verifier"]
    for guess in (foreign, "v" * 43):
        assert browser.collect(code, guess).status == 401
    evil = {"Origin": "https://evil.example", "X-Freehold-Session": "cookie"}
    body = {"code": code, "verifier": verifier}
    refused = browser.ask("POST", "oidc/session", body, evil)
    assert (refused.status, refused.json["code"], browser.jar) == (403, "csrf", {})
    assert browser.collect(code, verifier).status == 200
    assert other.collect(code, verifier).status == 401  # once
    thief = Browser(plane, dict(browser.jar)).ask("GET", "whoami")
    assert (thief.status, thief.json["code"]) == (401, "session_key")
    events = plane.want(200, "GET", "organizations/acme/audit?limit=20")
    assert code not in str(events)
    assert verifier not in str(events)


def test_signing_in_anew_ends_the_session_before(plane: Plane, issuer: str) -> None:
    """As whoever shows at the provider again who they are."""
    browser = Browser(plane)
    came_in(browser, "u-ann")
    before = Browser(plane, dict(browser.jar), browser.session_key)
    assert before.ask("GET", "whoami").status == 200
    came_in(browser, "u-ann")
    assert before.ask("GET", "whoami").status == 401
    assert browser.ask("GET", "whoami").status == 200


def test_the_subject_is_who_one_is(plane: Plane, issuer: str) -> None:
    """Another subject with the same address is another account, not that one."""
    browser = Browser(plane)
    assert came_in(browser, "u-ann2")["state"] == "open"
    me = browser.ask("GET", "sessions/current").json
    assert (me["name"], me["role"]) == ("ann-2", "viewer")


@pytest.mark.parametrize("account", ["u-eve", "u-joe", "u-nil", "u-out", "u-stranger"])
def test_who_is_not_let_in(plane: Plane, issuer: str, account: str) -> None:
    """An address not verified, of another domain or missing; no group of ours; a refusal."""
    browser = Browser(plane)
    code = "oidc_refused" if account == "u-stranger" else "oidc_no_account"
    assert came_back(browser, account)[0] == f"/?signin={code}"
    assert browser.jar == {}
    events = plane.want(200, "GET", "organizations/acme/audit?limit=2")
    assert (events[0]["operation"], events[0]["code"]) == ("oidc.callback", code)
    assert "code=" not in str(events)


def test_an_invitation_lets_one_in(plane: Plane, issuer: str) -> None:
    """By its address alone, once, with its role where no claim says otherwise."""
    plane.want(200, "PUT", ONE, settings(issuer, role_claim="", roles={}))
    new = {"email": "Joe@else.example", "role": "operator"}
    made = plane.want(201, "POST", "organizations/acme/invitations", new)
    link = made["link"].partition("invitation=")[2]
    came_in(Browser(plane), "u-ann2", link)  # has an account: no need of it
    assert came_back(Browser(plane), "u-eve", link)[0] == "/?signin=oidc_no_account"
    browser = Browser(plane)
    came_in(browser, "u-joe", link)
    me = browser.ask("GET", "sessions/current").json
    assert (me["name"], me["role"]) == ("joe", "operator")
    [row] = plane.want(200, "GET", "organizations/acme/invitations")
    assert row["used_by"] == "acme/joe"
    plane.want(200, "PUT", ONE, settings(issuer))


def test_what_a_browser_brings_back_has_to_be_its_own(plane: Plane, issuer: str) -> None:
    """Another browser, a state used twice, another issuer: nothing of it counts (login CSRF)."""
    one, other = Browser(plane), Browser(plane)
    path, _ = sent_back(one, "u-ann")
    stolen = other.ask("GET", path, headers={})
    assert stolen.headers["location"] == "/?signin=oidc_state"
    assert one.ask("GET", path, headers={}).headers["location"] == "/?signin=oidc_state"  # burnt
    path, _ = sent_back(one, "u-ann")
    mixed = one.ask("GET", path.replace("iss=", "iss=x"), headers={})
    assert mixed.headers["location"] == "/?signin=oidc_issuer"
    path, _ = sent_back(one, "u-ann")
    forged = one.ask("GET", path.replace("code=", "code=x"), headers={})
    assert forged.headers["location"] == "/?signin=oidc_refused"
    assert one.ask("GET", "oidc/callback", headers={}).headers["location"] == "/?signin=oidc_state"
    foreign = one.ask("POST", "oidc/begin", {"organization": "acme"}, {"Origin": "https://evil.x"})
    assert (foreign.status, foreign.json["code"]) == (403, "csrf")
    assert set(one.jar) <= {f"freehold-oidc-{plane.port}"}


def test_a_disabled_account_stays_out(plane: Plane, issuer: str) -> None:
    """Whatever the provider says."""
    came_in(Browser(plane), "u-ann2")
    plane.want(200, "PATCH", "organizations/acme/users/ann-2", {"disabled": True})
    assert came_back(Browser(plane), "u-ann2")[0] == "/?signin=oidc_no_account"
    plane.want(200, "PATCH", "organizations/acme/users/ann-2", {"disabled": False})


def test_a_second_factor_is_ours_unless_the_provider_has_it(plane: Plane, issuer: str) -> None:
    """Where the organization demands one, the browser comes back to set it up."""
    plane.want(200, "PATCH", "organizations/acme", {"second_factor": True})
    browser = Browser(plane)
    opened = came_in(browser, "u-ann")
    assert (opened["state"], opened["session_key"], browser.jar) == ("enrolment", "", {})
    assert browser.ask("GET", "whoami").status == 401
    challenge = {"challenge": opened["challenge"]}
    page = {**browser.own, "X-Freehold-Session": "cookie"}
    foreign = browser.ask("POST", "second-factor/enrolment", challenge, page | {"Origin": "null"})
    assert foreign.status == 403
    assert browser.ask("POST", "second-factor/enrolment", {}, page).status == 401
    assert browser.ask("POST", "second-factor/enrolment", challenge, page).status == 200
    plane.want(200, "PUT", ONE, settings(issuer, second_factor=True))
    assert came_in(Browser(plane), "u-ann")["state"] == "open"
    plane.want(200, "PATCH", "organizations/acme", {"second_factor": False})


def test_no_password_opens_such_an_account(plane: Plane, issuer: str) -> None:
    """It has none: neither the empty one nor any other."""
    for password in ("", "the password of nobody"):
        login = {"organization": "acme", "name": "ann", "password": password}
        assert plane.ask("POST", "sessions", login, token="").status == 401


@pytest.mark.parametrize(
    ("issuer_url", "code"),
    [
        ("http://169.254.169.254/latest", "issuer_invalid"),
        ("http://10.0.0.1", "issuer_invalid"),
        ("https://10.0.0.1", "issuer_private"),
        ("http://127.0.0.1.evil.example", "issuer_invalid"),
        ("https://user:pw@idp.example", "body_invalid"),
        ("https://idp.example/#x", "body_invalid"),
        ("http://[::ffff:10.0.0.1]/", "body_invalid"),
        ("file:///etc/passwd", "body_invalid"),
    ],
)
def test_a_provider_is_asked_at_https_alone(plane: Plane, issuer_url: str, code: str) -> None:
    """(Loopback is for development.) What is not asked is refused before anything is sent."""
    refused = plane.ask("PUT", "organizations/other/identity-provider", settings(issuer_url))
    assert (refused.status, refused.json["code"]) == (400, code)


def test_what_is_no_provider_is_not_taken(plane: Plane, issuer: str) -> None:
    """Nothing there, something else there, one that calls itself otherwise; no word of content."""
    path = "organizations/other/identity-provider"
    for url, status in (("http://127.0.0.1:9", 503), (plane.address, 503), (f"{issuer}/", 400)):
        refused = plane.ask("PUT", path, settings(url))
        assert refused.status == status, refused.body
        assert b"not_found" not in refused.body
    assert plane.want(200, "GET", path) is None
    begun = Browser(plane).ask("POST", "oidc/begin", {"organization": "other"})
    nowhere = Browser(plane).ask("POST", "oidc/begin", {"organization": "nowhere"})
    assert (begun.status, begun.json["message"]) == (404, nowhere.json["message"])


def test_whose_a_login_is(plane: Plane, issuer: str) -> None:
    """The address it began at, by which many of one give way before those of others."""
    assert Browser(plane).ask("POST", "oidc/begin", {"organization": "acme"}).status == 200
    with closing(sqlite3.connect(plane.data / "control.db", timeout=30)) as database:
        assert database.execute("SELECT DISTINCT client FROM oidc_flows").fetchall() == [
            ("127.0.0.1",)
        ]


def test_the_secret_is_not_told_and_not_on_the_trail(plane: Plane, issuer: str) -> None:
    """Nor in the database in clear."""
    view = plane.want(200, "GET", ONE)
    assert view["redirect_uri"] == f"{plane.address}/api/v1/oidc/callback"
    told = str(view) + str(plane.want(200, "GET", "organizations/acme/audit?limit=500"))
    assert SECRET not in told
    for file in plane.data.iterdir():
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes()


def test_without_a_provider_nobody_comes_by_it(plane: Plane, issuer: str) -> None:
    """Also who is on the way; to ask which one there is, is no mistake."""
    browser = Browser(plane)
    assert plane.want(200, "GET", "organizations/other/identity-provider") is None
    path, _ = sent_back(browser, "u-ann")
    plane.want(204, "DELETE", ONE)
    gone = browser.ask("GET", path, headers={})
    assert gone.headers["location"] == "/?signin=not_found"
    plane.want(200, "PUT", ONE, settings(issuer))
