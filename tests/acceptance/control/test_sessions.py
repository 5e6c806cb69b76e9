"""People at browsers: the cookie, what it may do, and what another site cannot make it do."""

import pytest

from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import API, PASSWORD, Plane


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


def test_a_session_has_two_secrets(plane: Plane) -> None:
    """The cookie's no script can read, and no answer shows; the page's is told once."""
    browser = Browser(plane)
    body = {"organization": "acme", "name": "owner", "password": PASSWORD}
    headers = {**browser.own, "X-Freehold-Session": "cookie"}
    answer = browser.ask("POST", "sessions", body, headers)
    given = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(given.split("; "))
    assert "Domain" not in given
    assert answer.json["secret"] == ""
    assert browser.jar[f"freehold-session-{plane.port}"] not in answer.body.decode()
    key = browser.session_key = answer.json["session_key"]
    assert key not in given
    current = browser.ask("GET", "sessions/current")
    told = current.json
    assert (told["name"], told["role"], told["kind"]) == ("owner", "owner", "browser")
    assert key not in current.body.decode()
    assert key not in browser.ask("GET", "sessions").body.decode()
    for file in plane.data.rglob("*"):
        if file.is_file():
            assert key.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://evil.example", "cross-site"),
        ("null", "cross-site"),
        ("own", "cross-site"),
        ("", ""),
    ],
)
def test_another_site_changes_nothing(browser: Browser, origin: str, site: str) -> None:
    """Not even if it knew the session key; and the attempt is on the trail."""
    plane = browser.plane
    told = {
        "Origin": plane.address if origin == "own" else origin,
        "Sec-Fetch-Site": site,
        "X-Session-Key": browser.session_key,
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
    """With the session's key; another session's does not do, of the same person's neither."""
    body = {"vault": "made-here"}
    for name in ("admin", "owner"):
        other = Browser(browser.plane)
        other.login("acme", name)
        told = {**browser.own, "X-Session-Key": other.session_key}
        for method, path in (("POST", "organizations/acme/agents"), ("GET", "sessions/current")):
            answer = browser.ask(method, path, body if method == "POST" else None, told)
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert browser.ask("POST", "organizations/acme/agents", body).status == 201


def test_every_new_session_has_a_key_of_its_own(browser: Browser) -> None:
    """Signing in anew and acting elsewhere: the key before is worth nothing with either cookie."""
    before = Browser(browser.plane, dict(browser.jar), browser.session_key)
    browser.login("acme", "owner")
    assert browser.session_key != before.session_key
    for jar, key in ((browser.jar, before.session_key), (before.jar, browser.session_key)):
        mixed = Browser(browser.plane, dict(jar), key)
        assert mixed.ask("GET", "sessions/current").status == 401
    assert before.ask("GET", "sessions/current").status == 401
    held = Browser(browser.plane, dict(browser.jar), browser.session_key)
    moved = browser.ask("PUT", "sessions/current/organization", {"organization": "acme"})
    assert moved.json["session_key"] not in {"", held.session_key}
    assert browser.ask("GET", "whoami").status == 401  # still with the key before
    browser.session_key = moved.json["session_key"]
    assert browser.ask("GET", "whoami").status == 200
    assert held.ask("GET", "whoami").status == 401


def test_a_cookie_of_another_version_is_a_clear_no(plane: Plane) -> None:
    """One part was the whole session once: sign in again."""
    old = Browser(plane, {f"freehold-session-{plane.port}": "fhs_" + "x" * 43})
    answer = old.ask("GET", "sessions/current", headers={**old.own, "X-CSRF-Token": "x" * 43})
    assert (answer.status, answer.json["code"]) == (401, "session_key")
    assert "sign in again" in answer.json["message"]


def test_a_planted_cookie_is_nobodys_session(plane: Plane) -> None:
    """A login answers with a secret of its own, and ends the one that the browser had."""
    browser = Browser(plane, {f"freehold-session-{plane.port}": "fhs_planted"})
    browser.login("acme", "owner")
    first = Browser(plane, dict(browser.jar), browser.session_key)
    assert first.jar[f"freehold-session-{plane.port}"] != "fhs_planted"
    browser.login("acme", "owner")
    assert first.ask("GET", "sessions/current").status == 401
    assert browser.ask("GET", "sessions/current").status == 200
    bearer = plane.ask("GET", "whoami", token=browser.jar[f"freehold-session-{plane.port}"])
    assert bearer.status == 401


def test_logout_ends_it_everywhere(browser: Browser) -> None:
    """The cookie is taken back, and worth nothing to whoever kept it."""
    kept = Browser(browser.plane, dict(browser.jar), browser.session_key)
    assert browser.ask("DELETE", "sessions/current").status == 204
    assert browser.jar == {}
    assert kept.ask("GET", "whoami").status == 401


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


def test_who_is_not_known_has_no_large_body_decoded(plane: Plane) -> None:
    """Whoever is signed in hears what is wrong with it; a login is short."""
    body, headers = b"[" + b"1e300," * 40_000, {"Content-Type": "application/json"}
    for token, status in (("", 401), ("nonsense", 401), (plane.token, 400)):
        with plane.client(token) as client:
            answer = client.call("POST", f"{API}organizations", body, headers=headers)
        assert answer.status == status
    with plane.client("") as client:
        assert client.call("POST", f"{API}sessions", body, headers=headers).status == 413
