"""Who comes in by which way, who is where, and what an administrator does about it."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.browser.lone import looking
from tests.browser.visit import NARROW, PATIENCE, WIDE, Visit, visiting
from tests.support.identity_provider import CLIENT, CLIENT_SECRET, Provider, provider
from tests.support.saml_provider import Said, SamlProvider, read_question

expect.set_options(timeout=PATIENCE)
OFFICE = SamlProvider()


@pytest.fixture(scope="module")
def source() -> Iterator[Provider]:
    """An identity provider, which lets everybody in at once."""
    with provider() as made:
        yield made


@pytest.fixture(scope="module")
def people(source: Provider) -> Iterator[Agent]:
    """An agent with a mount for passwords, one for the provider, and one that nobody may see."""
    with own_folder() as folder, running(dev_agent(folder)) as agent:
        for path, kind, shown in (
            ("staff", "userpass", "unauth"),
            ("company", "oidc", "unauth"),
            ("office", "saml", "unauth"),
            ("hidden", "userpass", ""),
        ):
            settings = {"type": kind, "description": "", "config": {"listing_visibility": shown}}
            ok(agent, "POST", f"sys/auth/{path}", settings)
        ok(agent, "POST", "auth/staff/users/ann", {"password": "right", "token_policies": "sees"})
        rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["list", "read"]}
        put(agent, "PUT", "policies/sees", {"rules": [rule]})
        ok(agent, "POST", "auth/company/config", {
            "oidc_discovery_url": source.address, "oidc_client_id": CLIENT,
            "oidc_client_secret": CLIENT_SECRET, "default_role": "people",
        })  # fmt: skip
        ok(agent, "POST", "auth/company/role/people", {
            "user_claim": "sub", "policies": "sees",
            "allowed_redirect_uris": [f"{agent.address}/sign-in/callback"],
        })  # fmt: skip
        ok(agent, "POST", "auth/office/config", {
            "idp_metadata": OFFICE.metadata(), "entity_id": agent.address,
            "acs_urls": f"{agent.address}/v1/auth/office/callback", "default_role": "people",
        })  # fmt: skip
        ok(agent, "POST", "auth/office/role/people", {
            "token_policies": "sees",
            "allowed_redirect_uris": [f"{agent.address}/sign-in/callback"],
        })  # fmt: skip
        yield agent


def ok(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call of the Vault dialect that succeeds."""
    answer = agent.call(method, f"/v1/{path}", body)
    assert answer.status in {200, 204}, (path, answer.body)
    return answer.json


def put(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call of the native API that succeeds."""
    answer = agent.call(method, f"/api/v1/{path}", body)
    assert answer.status < 300, (path, answer.body)
    return answer.json


def press(window: Visit, name: str) -> None:
    """The button of this name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def confirm(window: Visit, name: str) -> None:
    """The dialog's button of this name; then it is gone."""
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def log_in(window: Visit, password: str = "right") -> None:
    """By name and password, at the page that is open."""
    window.page.get_by_label("Method", exact=True).select_option("staff/")
    window.page.get_by_label("Name", exact=True).fill("ann")
    window.page.get_by_label("Password", exact=True).fill(password)
    press(window, "Sign in")


def test_a_name_and_a_password(chromium: Browser, people: Agent) -> None:
    """The mounts that may be seen are offered; the login is one session, and no token is left."""
    with visiting(chromium, people, role=None) as window:
        window.open("/secrets")
        window.heading("Sign in")
        offered = window.page.get_by_label("Method", exact=True).locator("option")
        expect(offered).to_have_text(["company", "office", "staff", "Token or API key"])
        log_in(window, "wrong")
        window.see("Invalid name or password.")
        log_in(window)
        window.heading("Secrets")
        kept = str(window.page.evaluate("[{...localStorage}, {...sessionStorage}]"))
        assert "right" not in kept
        assert window.page.evaluate("document.cookie") == ""
        (cookie,) = window.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        entity = next(
            each["id"] for each in put(people, "GET", "entities")["entities"]
            if any(alias["mount_path"] == "auth/staff/" for alias in each["aliases"])
        )  # fmt: skip
        there = put(people, "GET", f"users/{entity}/sessions")["sessions"]
        assert [(one["browser"], one["method"]) for one in there] == [(True, "userpass")]
        window.page.reload()
        window.heading("Secrets")
        press(window, "Sign out")
        window.heading("Sign in")
        assert put(people, "GET", f"users/{entity}/sessions")["sessions"] == []
        assert all("40" in fault for fault in window.faults), window.faults
        window.faults.clear()


def test_an_identity_provider(chromium: Browser, people: Agent) -> None:
    """There and back to the page that was asked for; the code is in no address, and counts here."""
    with visiting(chromium, people, role=None) as window:
        window.open("/policies/sees")
        window.heading("Sign in")
        window.page.get_by_label("Method", exact=True).select_option("company/")
        press(window, "Continue at the identity provider")
        window.page.wait_for_url(f"{people.address}/policies/sees")
        window.see("default, sees")
        assert window.page.evaluate("Object.keys(sessionStorage)") == []
        window.see("Permission denied")
        window.faults.clear()  # it may not read that policy
    with visiting(chromium, people, role=None) as window:
        window.open("/sign-in/callback?state=st_of-somebody&code=stolen")
        window.see("this tab has started no login: sign in again here")
        assert "code" not in window.page.url


def test_a_saml_provider(chromium: Browser, people: Agent) -> None:
    """As any provider: its page has the browser bring an answer, which counts in this tab alone."""

    def answer(route: Route) -> None:
        question = read_question(route.request.url)
        said = Said(request_id=question.id, acs_url=question.acs_url, audience=people.address)
        fields = {"SAMLResponse": OFFICE.respond(said), "RelayState": question.relay_state}
        inputs = "".join(f'<input name="{key}" value="{text}">' for key, text in fields.items())
        page = f'<form method="post" action="{question.acs_url}">{inputs}</form>'
        route.fulfill(
            content_type="text/html", body=f"{page}<script>document.forms[0].submit()</script>"
        )

    with visiting(chromium, people, role=None) as window:
        window.context.route("https://idp.example/**", answer)
        window.open("/policies/sees")
        window.heading("Sign in")
        window.page.get_by_label("Method", exact=True).select_option("office/")
        press(window, "Continue at the identity provider")
        window.page.wait_for_url(f"{people.address}/policies/sees")
        window.see("default, sees")
        assert window.page.evaluate("Object.keys(sessionStorage)") == []
        window.see("Permission denied")
        window.faults.clear()  # it may not read that policy


def test_ones_own_sessions(chromium: Browser, people: Agent) -> None:
    """Another one is ended, at once; the current one is marked and has no button."""
    with visiting(chromium, people, role=None) as window:
        window.open("/sessions")
        window.heading("Sign in")
        log_in(window)
        window.heading("My sessions")
        window.see("This session")
        other = people.call(
            "POST", "/v1/auth/staff/login/ann", {"password": "right"}, token=""
        ).json["auth"]
        window.page.reload()
        press(window, f"Revoke the session {other['accessor']}")
        assert window.findings() == []
        confirm(window, "Revoke")
        button = window.page.get_by_label(f"Revoke the session {other['accessor']}")
        expect(button).to_have_count(0)
        answer = people.call("GET", "/api/v1/tokens/self", token=other["client_token"])
        assert answer.status == 401
        assert window.findings() == []


def test_entities(chromium: Browser, people: Agent) -> None:
    """Made, changed, disabled, merged, their aliases and sessions seen, deleted."""
    session = people.call("POST", "/v1/auth/staff/login/ann", {"password": "right"}, token="")
    token = session.json["auth"]["client_token"]
    with looking(chromium, people) as window:
        window.open("/entities")
        window.heading("Entities")
        press(window, "Create entity…")
        window.page.get_by_label("Name", exact=True).fill("ann-smith")
        window.page.get_by_label("Policies", exact=True).fill("of-ann")
        confirm(window, "Create")
        window.heading("ann-smith")
        made = window.page.url.rpartition("/")[2]
        press(window, "Merge…")
        old = next(
            each["name"] for each in put(people, "GET", "entities")["entities"]
            if any(alias["mount_path"] == "auth/staff/" for alias in each["aliases"])
        )  # fmt: skip
        window.page.get_by_label("Name of the other entity", exact=True).fill(old)
        confirm(window, "Merge")
        window.page.get_by_role("cell", name="ann", exact=True).first.wait_for()
        assert people.call("GET", "/api/v1/tokens/self", token=token).status == 401
        session = people.call("POST", "/v1/auth/staff/login/ann", {"password": "right"}, token="")
        token = session.json["auth"]["client_token"]
        assert session.json["auth"]["entity_id"] == made
        window.page.reload()
        window.page.get_by_label(
            f"Revoke the session {session.json['auth']['accessor']}"
        ).wait_for()
        assert window.findings() == []
        press(window, "Disable…")
        confirm(window, "Disable")
        window.see("Disabled")
        assert people.call("GET", "/api/v1/tokens/self", token=token).status == 401
        press(window, "Enable…")
        confirm(window, "Enable")
        window.see("Active")
        press(window, "Delete the alias ann at auth/staff/")
        confirm(window, "Delete")
        window.see("No aliases")
        press(window, "Delete…")
        confirm(window, "Delete")
        window.heading("Entities")
    assert people.call("GET", f"/api/v1/entities/{made}").status == 404


def test_groups(chromium: Browser, people: Agent) -> None:
    """Made, with a member whom its policies reach, who is taken out; deleted."""
    member = put(people, "POST", "entities", {"name": "member"})["id"]
    with looking(chromium, people) as window:
        window.open("/groups")
        window.heading("Groups")
        press(window, "Create group…")
        window.page.get_by_label("Name", exact=True).fill("engineers")
        window.page.get_by_label("Policies", exact=True).fill("sees")
        confirm(window, "Create")
        window.heading("engineers")
        made = window.page.url.rpartition("/")[2]
        press(window, "Add member…")
        window.page.get_by_label("Name of the entity", exact=True).fill("member")
        confirm(window, "Add")
        window.page.get_by_role("link", name=member).wait_for()
        assert put(people, "GET", f"groups/{made}")["members"] == [member]
        assert window.findings() == []
        press(window, f"Remove {member}")
        confirm(window, "Remove")
        window.see("No members yet")
        press(window, "Edit…")
        window.page.get_by_label("Name", exact=True).fill("builders")
        confirm(window, "Save")
        window.heading("builders")
        press(window, "Delete…")
        confirm(window, "Delete")
        window.heading("Groups")
    assert people.call("GET", f"/api/v1/groups/{made}").status == 404


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_all_of_them_can_be_used_by_everybody(
    chromium: Browser, people: Agent, size: tuple[int, int]
) -> None:
    """axe-core finds nothing, and nothing is wider than the window."""
    entity = put(people, "POST", "entities", {"name": f"of-{size[0]}"})["id"]
    group = put(people, "POST", "groups", {"name": f"of-{size[0]}"})["id"]
    with visiting(chromium, people, role=None, size=size) as window:
        for method in ("staff/", "company/", "token"):
            window.open("/")
            window.heading("Sign in")
            window.page.get_by_label("Method", exact=True).select_option(method)
            assert (window.findings(), window.overflow) == ([], 0), method
    with looking(chromium, people, size=size) as window:
        for path in (
            "/entities",
            f"/entities/{entity}",
            "/groups",
            f"/groups/{group}",
            "/sessions",
        ):
            window.open(path)
            window.page.get_by_role("heading", level=1).wait_for()
            window.page.wait_for_load_state("networkidle")
            assert (window.findings(), window.overflow) == ([], 0), path
