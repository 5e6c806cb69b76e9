"""What an attacker puts in comes back as data, is bounded, or is refused."""

import pytest

from tests.acceptance.control.browser import Browser
from tests.acceptance.control.plane import Plane

BASE = "organizations/acme"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}${7*7}\u2028</script>"


def test_script_in_every_text_is_data(plane: Plane) -> None:
    """Stored, told again to the byte, as JSON that no browser takes for a page."""
    owner = plane.people["acme", "owner"]
    base = BASE
    plane.want(200, "PATCH", base, {"title": SCRIPT}, token=owner)
    plane.want(201, "POST", f"{base}/agents", {"vault": "held"}, token=owner)
    plane.want(200, "POST", f"{base}/agents/held/retire", {"reason": SCRIPT}, token=owner)
    plane.want(201, "POST", "tokens", {"role": "viewer", "ttl": 60, "label": SCRIPT}, token=owner)
    places = {
        base: lambda told: told["title"],
        f"{base}/agents/held": lambda told: told["reason"],
        "sessions": lambda told: next(row["label"] for row in told if row["kind"] == "api"),
        f"{base}/audit?operation=agents.retire&limit=1": lambda told: told[0]["detail"]["reason"],
    }
    for path, found in places.items():
        answer = plane.ask("GET", path, token=owner)
        assert found(answer.json) == SCRIPT, path
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{BASE}/users", {"name": SCRIPT, "role": "viewer", "password": "x" * 12}),
        ("POST", f"{BASE}/agents", {"vault": SCRIPT}),
        ("POST", f"{BASE}/invitations", {"email": f"{SCRIPT}@x.example", "role": "viewer"}),
        ("PUT", f"{BASE}/agents/held/tags", {"tags": [SCRIPT]}),
        ("GET", "organizations/<script>", None),
        ("POST", "sessions", {"organization": SCRIPT, "name": SCRIPT, "password": SCRIPT}),
    ],
)  # fmt: skip
def test_names_are_names(plane: Plane, method: str, path: str, body: object) -> None:
    """Where a text names something, it cannot be such; the refusal does not repeat it."""
    answer = plane.ask(method, path.replace("<", "%3C").replace(">", "%3E"), body)
    assert answer.status in (400, 401, 404), answer.body
    assert b"<script" not in answer.body
    assert answer.headers["content-type"] == "application/json"


def test_what_a_browser_calls_itself(plane: Plane) -> None:
    """Is shown to whoever lists the sessions: bounded, one line, plain."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    told = {**browser.own, "X-Freehold-Session": "cookie", "User-Agent": "x\t<b>" + "y" * 900}
    body = {"organization": "acme", "name": "owner", "password": "correct horse battery"}
    browser.csrf = browser.ask("POST", "sessions", body, told).json["csrf"]
    [row] = [row for row in browser.ask("GET", "sessions").json if row["current"]]
    assert row["user_agent"].startswith("x?<b>y")
    assert len(row["user_agent"]) == 256


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8300", "a b", "x@evil.example"])
def test_a_host_that_is_not_ours_gets_nothing_more(plane: Plane, host: str) -> None:
    """A page that names us otherwise than the browser does is not one of ours (DNS rebinding)."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    told = {"Host": host, "Origin": plane.address, "X-CSRF-Token": browser.csrf}
    answer = browser.ask("POST", "organizations/acme/agents", {"vault": "rebound"}, told)
    assert answer.status in (400, 403), answer.body
    assert plane.ask("GET", "organizations/acme/agents/rebound").status == 404
