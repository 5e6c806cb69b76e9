"""People at browsers: the cookie, what it may do, and what another site cannot make it do."""

import pytest

from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import PASSWORD, Plane


@pytest.fixture
def browser(plane: Plane) -> Browser:
    """Signed in as the owner of acme."""
    made = Browser(plane)
    made.login("acme", "owner")
    return made


def denied(plane: Plane) -> list[tuple[str, str, str]]:
    """What was refused in acme, the newest first."""
    events = plane.want(200, "GET", "organizations/acme/audit?limit=20")
    return [(e["operation"], e["actor"], e["code"]) for e in events if e["result"] == "denied"]


def test_the_session_is_in_the_cookie_alone(plane: Plane) -> None:
    """No script can read it, no other site send it, and no answer shows its secret."""
    browser = Browser(plane)
    body = {"organization": "acme", "name": "owner", "password": PASSWORD}
    headers = {**browser.own, "X-Freehold-Session": "cookie"}
    answer = browser.ask("POST", "sessions", body, headers)
    given = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(given.split("; "))
    assert "Domain" not in given
    assert answer.json["secret"] == ""
    assert browser.jar[f"freehold-session-{plane.port}"] not in answer.body.decode()
    current = browser.ask("GET", "sessions/current").json
    assert (current["name"], current["role"], current["kind"]) == ("owner", "owner", "browser")
    assert current["csrf"] == answer.json["csrf"]


@pytest.mark.parametrize(
    ("origin", "site", "csrf"),
    [
        ("own", "same-origin", ""),
        ("own", "same-origin", "x" * 43),
        ("https://evil.example", "cross-site", "right"),
        ("null", "cross-site", "right"),
        ("own", "cross-site", "right"),
        ("", "", "right"),
    ],
)
def test_another_site_changes_nothing(browser: Browser, origin: str, site: str, csrf: str) -> None:
    """Not by the cookie that the browser adds by itself; and the attempt is on the trail."""
    plane = browser.plane
    told = {
        "Origin": plane.address if origin == "own" else origin,
        "Sec-Fetch-Site": site,
        "X-CSRF-Token": browser.csrf if csrf == "right" else csrf,
    }
    headers = {name: value for name, value in told.items() if value}
    for body in ({"vault": "forged"}, {"malformed": True}):
        answer = browser.ask("POST", "organizations/acme/agents", body, headers)
        assert (answer.status, answer.json["code"]) == (403, "csrf")
    assert denied(plane)[0] == ("agents.register", "acme/owner", "csrf")
    assert browser.ask("GET", "organizations/acme/agents/forged").status == 404


def test_another_site_signs_nobody_in(plane: Plane) -> None:
    """Else a person would work in the attacker's account (login CSRF); it is on the trail."""
    browser = Browser(plane)
    body = {"organization": "acme", "name": "owner", "password": PASSWORD}
    for told in ({"Origin": "https://evil.example"}, {}):
        answer = browser.ask("POST", "sessions", body, {"X-Freehold-Session": "cookie", **told})
        assert (answer.status, answer.json["code"], browser.jar) == (403, "csrf", {})
    assert denied(plane)[0] == ("sessions.login", "", "csrf")


def test_our_own_page_may(browser: Browser) -> None:
    """With the session's token; another session's does not do."""
    other = Browser(browser.plane)
    other.login("acme", "admin")
    told = {**browser.own, "X-CSRF-Token": other.csrf}
    body = {"vault": "made-here"}
    assert browser.ask("POST", "organizations/acme/agents", body, told).status == 403
    assert browser.ask("POST", "organizations/acme/agents", body).status == 201


def test_a_planted_cookie_is_nobodys_session(plane: Plane) -> None:
    """A login answers with a secret of its own, and ends the one that the browser had."""
    browser = Browser(plane, {f"freehold-session-{plane.port}": "fhs_planted"})
    browser.login("acme", "owner")
    first = dict(browser.jar)
    assert first[f"freehold-session-{plane.port}"] != "fhs_planted"
    browser.login("acme", "owner")
    assert Browser(plane, first).ask("GET", "sessions/current").status == 401
    assert browser.ask("GET", "sessions/current").status == 200
    bearer = plane.ask("GET", "whoami", token=browser.jar[f"freehold-session-{plane.port}"])
    assert bearer.status == 401


def test_logout_ends_it_everywhere(browser: Browser) -> None:
    """The cookie is taken back, and worth nothing to whoever kept it."""
    kept = dict(browser.jar)
    assert browser.ask("DELETE", "sessions/current").status == 204
    assert browser.jar == {}
    assert Browser(browser.plane, kept).ask("GET", "whoami").status == 401


def test_one_sees_and_ends_ones_own(browser: Browser) -> None:
    """Another browser of the same person; not another person's."""
    other, stranger = Browser(browser.plane), Browser(browser.plane)
    ended = other.login("acme", "owner")["token"]["id"]
    foreign = stranger.login("other", "owner")["token"]["id"]
    rows = browser.ask("GET", "sessions").json
    assert [row["id"] for row in rows if row["current"]] == [
        browser.ask("GET", "sessions/current").json["session"]
    ]
    assert ended in {row["id"] for row in rows}
    assert foreign not in {row["id"] for row in rows}
    assert browser.ask("DELETE", f"sessions/{foreign}").status == 404
    assert browser.ask("DELETE", f"sessions/{ended}").status == 204
    assert other.ask("GET", "whoami").status == 401
    assert stranger.ask("GET", "whoami").status == 200


def test_another_password_or_role_ends_sessions(plane: Plane) -> None:
    """A thief's too."""
    path = "organizations/acme/users/viewer"
    for method, at, body in (
        ("PUT", f"{path}/password", {"password": PASSWORD}),
        ("PATCH", path, {"role": "operator"}),
        ("PATCH", path, {"role": "viewer"}),
    ):
        browser = Browser(plane)
        browser.login("acme", "viewer")
        assert plane.ask(method, at, body).status in (200, 204)
        assert browser.ask("GET", "whoami").status == 401
