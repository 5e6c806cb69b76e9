"""The agent's own web interface in a real browser, over a real agent without a control plane."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent
from tests.acceptance.native.attack import found
from tests.browser.conftest import Looking
from tests.browser.estate import Estate
from tests.browser.lone import STRANGE, looking, tell
from tests.browser.visit import NARROW, PATIENCE, WIDE, Visit, visiting

PAGES = {
    "/": "Secrets",
    "/secrets/one?name=secret/app/db": "secret/app/db",
    "/secrets/one?name=secret/none": "secret/none",
    "/rotations": "Rotations",
    "/rotations/one?name=secret/app/db": "secret/app/db",
    "/rotations/one?name=secret/app/mail": "secret/app/mail",
    "/leases": "Leases",
    "/leases/one?id=database/creds/none/1": "database/creds/none/1",
    "/policies": "Policies",
    "/policies/app": "app",
    "/dry-run": "Dry run",
    "/users": "Users and keys",
    "/second-factors": "Second factors",
    "/entities": "Entities",
    "/groups": "Groups",
    "/sessions": "My sessions",
    "/audit": "Audit log",
    "/audit?tab=search": "Audit log",
    "/audit?tab=verify": "Audit log",
    "/sent": "Egress ledger",
    "/health": "Health",
    "/backups": "Backups",
    "/actors": "Actors",
    "/link": "Link",
}
expect.set_options(timeout=PATIENCE)


def reads(agent: Agent, name: str) -> int:
    """How many reads of a secret's value the audit log has."""
    asked = f"audit/events?operation=secret.read&path={name}"
    return len(tell(agent, "GET", asked)["events"])


def press(visit: Visit, name: str) -> None:
    """The button of this name."""
    visit.page.get_by_role("button", name=name, exact=True).click()


def confirm(visit: Visit, name: str) -> None:
    """The dialog's button of this name; then it is gone."""
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def test_the_door_opens_for_a_credential_that_counts(chromium: Browser, agent: Agent) -> None:
    """By the form; the cookie is not for scripts; signing out ends it; a wrong one is on record.

    The page keeps the session key, of which the cookie says nothing, and forgets it in the end.
    """
    with visiting(chromium, agent, role=None) as window:
        page = window.page
        window.open("/policies/app")
        window.heading("Sign in")
        page.get_by_label("Token or API key", exact=True).fill("wrong-one")
        press(window, "Sign in")
        window.see("Invalid token or API key.")
        page.get_by_label("Token or API key", exact=True).fill(agent.token)
        press(window, "Sign in")
        window.heading("app")
        assert page.evaluate("document.cookie") == ""
        (cookie,) = window.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        kept = page.evaluate("({...localStorage})")
        assert agent.token not in str(kept)
        assert cookie["value"] not in str(kept)
        assert len(kept["freehold-session-key"]) == 43
        page.reload()
        window.heading("app")
        press(window, "Sign out")
        window.heading("Sign in")
        assert kept["freehold-session-key"] not in str(page.evaluate("({...localStorage})"))
        page.reload()
        window.heading("Sign in")
        again = agent.call("GET", "/api/v1/sessions/current", token=cookie["value"])
        assert again.status == 401
        assert all("401" in fault for fault in window.faults), window.faults
        window.faults.clear()
    refused = tell(agent, "GET", "audit/events?operation=session.open&result=denied")["events"]
    assert len(refused) == 1


def test_a_value_is_shown_on_demand_recorded_and_hidden(look: Looking, agent: Agent) -> None:
    """Made by the form; not in the page before; shown for a press and a record; gone with focus."""
    with look() as window:
        page = window.page
        window.open("/")
        press(window, "Create secret…")
        page.get_by_label("Name", exact=True).fill("secret/web/shown")
        page.get_by_label("Value", exact=True).fill('{"password": "hunter-two"}')
        page.get_by_label("Tags", exact=True).fill("db, web")
        confirm(window, "Create")
        window.heading("secret/web/shown")
        assert "hunter-two" not in page.content()
        assert reads(agent, "secret/web/shown") == 0
        press(window, "Reveal value")
        expect(page.get_by_label("Value", exact=True)).to_contain_text("hunter-two")
        assert reads(agent, "secret/web/shown") == 1
        page.evaluate("dispatchEvent(new Event('blur'))")
        expect(page.get_by_role("button", name="Reveal value")).to_be_visible()
        assert "hunter-two" not in page.content()
        press(window, "Reveal value")
        expect(page.get_by_label("Value", exact=True)).to_contain_text("hunter-two")
        page.get_by_role("link", name="Policies").click()
        window.heading("Policies")
        page.go_back()
        window.heading("secret/web/shown")
        expect(page.get_by_role("button", name="Reveal value")).to_be_visible()
        assert "hunter-two" not in page.content()


def test_a_value_is_hidden_after_a_while(look: Looking) -> None:
    """Thirty seconds by the page's clock, with nobody doing anything."""
    with look() as window:
        window.page.clock.install()
        window.open("/secrets/one?name=secret/app/mail")
        window.heading("secret/app/mail")
        press(window, "Reveal value")
        shown = window.page.get_by_label("Value", exact=True)
        expect(shown).to_contain_text("old")
        window.page.clock.run_for(15_000)  # the clock goes on by itself, too
        expect(shown).to_contain_text("old")
        window.page.clock.run_for(16_000)
        expect(shown).not_to_be_visible()
        assert "old" not in window.page.locator("main").inner_text()


def test_versions_are_written_compared_and_undone(look: Looking, agent: Agent) -> None:
    """A conflict is told and nothing is lost; delete, undelete, write again, destroy."""
    tell(agent, "POST", "secrets", {"name": "secret/web/many", "value": 1})
    with look() as window:
        page = window.page
        window.open("/secrets/one?name=secret/web/many")
        press(window, "Write new version…")
        page.get_by_label("Value", exact=True).fill("2")
        page.get_by_label("Check-and-set version", exact=True).fill("7")
        press(window, "Write")
        expect(page.get_by_role("dialog")).to_contain_text("request")
        page.get_by_label("Check-and-set version", exact=True).fill("1")
        confirm(window, "Write")
        window.see("Value of version 2")
        page.get_by_role("row").filter(has_text=re.compile("^1")).click()
        press(window, "Delete…")
        confirm(window, "Delete")
        press(window, "Undelete…")
        confirm(window, "Undelete")
        press(window, "Roll back…")
        confirm(window, "Roll back to this version")
        window.see("Value of version 3")
        press(window, "Destroy…")
        confirm(window, "Destroy permanently")
        expect(page.get_by_role("table").first).to_contain_text("Destroyed")
        window.faults[:] = [fault for fault in window.faults if "409" not in fault]
    versions = tell(agent, "GET", "versions/secret/web/many")
    assert [version["version"] for version in versions] == [1, 2, 3]
    assert sum(version["destroyed"] for version in versions) == 1


def test_a_policy_is_held_against_the_past(look: Looking, agent: Agent) -> None:
    """What is typed, and not in force, decides what is on record: who would be denied what."""
    rule = {"effect": "allow", "paths": ["secret/past/*"], "capabilities": ["create", "read"]}
    agent.call("PUT", "/api/v1/policies/past", {"rules": [rule]})
    made = agent.call("POST", "/api/v1/tokens", {"policies": ["past"]}).json
    body = {"name": "secret/past/a", "value": 1}
    assert agent.call("POST", "/api/v1/secrets", body, token=made["token"]).status == 201
    for _ in range(2):
        read = agent.call("GET", "/api/v1/secrets/secret/past/a", token=made["token"])
        assert read.status == 200
    with look() as window:
        page = window.page
        window.open("/policies/past")
        window.heading("past")
        page.get_by_label("Document of past", exact=True).fill(
            '{"rules": [{"effect": "allow", "paths": ["secret/past/*"],'
            ' "capabilities": ["create"]}]}'
        )
        window.see("Valid")
        press(window, "Run replay")
        figure = page.locator(".figure").filter(has_text="Newly denied")
        expect(figure.locator(".value")).to_have_text("2")
        row = page.get_by_role("group", name="Changed decisions").get_by_role("row").last
        expect(row).to_contain_text("secret/past/a")
        expect(row).to_contain_text("secret.read")
        expect(row).to_contain_text("Denied")
        assert window.findings() == []


def test_a_policy_in_vaults_language_is_edited_as_it_was_written(
    look: Looking, agent: Agent
) -> None:
    """Its text, not a line of JSON; a fault is at its line, and a no says which path decides."""
    text = 'path "secret/data/app/*" {\n  capabilities = ["read"]\n}\n'
    tell(agent, "PUT", "policies/hcl", {"acl": text, "description": "kept"})
    with look() as window:
        page = window.page
        window.open("/policies/hcl")
        editor = page.get_by_label("Document of hcl", exact=True)
        expect(editor).to_have_value(text)
        window.see("Saved")
        editor.fill(text.replace("read", "reed"))
        told = page.locator(".editor .fault")
        expect(told).to_contain_text("Line 2")
        expect(told).to_contain_text('At 2:18: path "secret/data/app/*": invalid capability "reed"')
        expect(page.locator(".gutter .bad")).to_have_text(["2"])
        changed = text + '# more\npath "secret/metadata/app/*" { capabilities = ["list"] }\n'
        editor.fill(changed)
        window.see("Valid")
        page.get_by_label("Path", exact=True).fill("secret/app/x")
        press(window, "Run dry run")
        expect(page.locator(".verdict")).to_contain_text("hcl: secret/data/app/*")
        press(window, "Save…")
        confirm(window, "Save")
        window.see("Saved")
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
    stored = tell(agent, "GET", "policies/hcl")
    assert (stored["acl"], stored["description"], stored["version"]) == (changed, "kept", 2)


def test_a_faulty_policy_is_shown_at_its_line_and_a_good_one_decides(
    look: Looking, agent: Agent
) -> None:
    """As one types, all that the agent would refuse; once in force, a dry run names the rule.

    What is typed leaves no record, what is saved does.
    """
    with look() as window:
        page = window.page
        window.open("/policies/web?new=1")
        window.heading("web")
        editor = page.get_by_label("Document of web", exact=True)
        editor.fill('{"rules": [\n{"effect": "allow",\n"paths": ["secret/x"],\n')
        expect(page.locator(".editor .diagnostics")).to_contain_text("Invalid JSON")
        rule = '{"rules": [\n{"effect": "allow",\n"paths": ["secret/x"],\n"capabilities": ["%s"]}]}'
        editor.fill((rule % "reed").replace('"secret/x"', '"/x"'))
        told = page.locator(".editor .fault")
        expect(told).to_contain_text(
            [re.compile(r"^Line 3 rules\[0\].paths\[0\]"), "capabilities[0]"]
        )
        expect(page.locator(".gutter .bad")).to_have_text(["3", "4"])
        expect(page.get_by_role("button", name="Save…")).to_be_disabled()
        window.see("Invalid")
        editor.fill(rule % "read")
        window.see("Valid")
        press(window, "Save…")
        confirm(window, "Save")
        window.see("Saved")
        for path, answer in (("secret/x", "web/rules[0]"), ("secret/y", "no rule allows read")):
            page.get_by_label("Path", exact=True).fill(path)
            press(window, "Run dry run")
            expect(page.locator(".verdict")).to_contain_text(answer)
        editor.fill((rule % "read").replace("allow", "deny"))
        expect(page.locator(".verdict")).to_have_count(0)
        window.see("Valid")
        page.get_by_label("Path", exact=True).fill("secret/x")
        press(window, "Run dry run")
        expect(page.locator(".verdict")).to_contain_text("Not allowed")  # by what is typed
        window.go("/dry-run")
        page.get_by_label("User", exact=True).fill("ada")
        page.get_by_label("Path", exact=True).fill("secret/app/db")
        press(window, "Run dry run")
        expect(page.locator(".verdict")).to_contain_text("app/rules[0]")
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
    # a page on which another test has signed out may have asked once more
    records = found(agent, "operation=policy.validate")
    assert [one for one in records if one["actor_id"] != "anonymous"] == []
    assert found(agent, "operation=policy.write&path=sys/policies/web")


def test_a_revoked_key_ends_its_page_at_once(
    look: Looking, chromium: Browser, agent: Agent
) -> None:
    """A key is shown once and opens a session; its revocation cuts the feed: the door is shown."""
    looks = {"effect": "allow", "paths": ["sys/health"], "capabilities": ["read"]}
    tell(agent, "PUT", "policies/looks", {"rules": [looks]})
    user = tell(agent, "POST", "users", {"username": "bob", "policies": ["looks"]})
    with look() as admin:
        admin.open(f"/users/{user['id']}")
        press(admin, "Create key…")
        admin.page.get_by_label("Name", exact=True).fill("laptop")
        press(admin, "Create")
        key = admin.page.locator(".new-key span").inner_text()
        confirm(admin, "I have saved it")
        assert key not in admin.page.content()
        with looking(chromium, agent, credential=key) as window:
            window.open("/health")
            window.see("Live")
            window.go("/actors")
            window.see("Permission denied")
            window.go("/health")
            window.see("Live")
            press(admin, "Revoke laptop")
            confirm(admin, "Revoke")
            window.heading("Sign in")
            # what the page was still asking for is refused, which Chromium writes
            window.faults[:] = [fault for fault in window.faults if "401" not in fault]


def test_a_sealed_vault_says_so_and_opens_again(look: Looking, agent: Agent) -> None:
    """Sealed on this page: every page shows it; unsealed elsewhere, one goes on where one was."""
    with look() as window:
        window.open("/health")
        window.see("Live")
        press(window, "Seal…")
        confirm(window, "Seal")
        window.heading("Sealed Not serving")
        window.see("freehold operator unseal --config FILE")
        key = (agent.data / "root.key").read_bytes().hex()
        assert agent.call("PUT", "/v1/sys/unseal", {"key": key}, token="").status == 200
        window.heading("Health")
        window.see("Live")
        window.faults[:] = [fault for fault in window.faults if "503" not in fault]
    assert agent.call("GET", "/health/ready").status == 200


def test_what_happens_is_seen_searched_verified_and_proven(look: Looking, agent: Agent) -> None:
    """As it happens, without a reload; the check says the root that the log has."""
    with look() as window:
        page = window.page
        window.open("/audit")
        window.see("Live")
        tell(agent, "GET", "secrets/secret/ci/token")
        row = page.get_by_role("row").filter(has_text="secret/ci/token").first
        expect(row).to_contain_text("secret.read")
        row.click()
        press(window, "Prove inclusion")
        expect(page.get_by_text("below the signed root")).to_be_visible()
        page.get_by_role("tab", name="Search").click()
        page.get_by_label("Path starts with", exact=True).fill("secret/ci/")
        press(window, "Search")
        expect(page.get_by_role("row").nth(1)).to_contain_text("secret/ci/token")
        page.get_by_role("tab", name="Verify").click()
        press(window, "Verify now")
        window.see("Intact")
        found = tell(agent, "GET", "audit/verification")
        window.see(found["root"])


def test_what_left_for_a_control_plane_is_shown_and_verified(
    chromium: Browser, estate: Estate
) -> None:
    """Of an agent that has one: the link as it is, each byte that was sent, the ledger whole."""
    with looking(chromium, estate.agents["one"]) as window:
        page = window.page
        window.open("/link")
        expect(page.locator(".page-head")).to_contain_text("Online")
        page.get_by_role("link", name="Total sent").click()
        window.heading("Egress ledger")
        page.get_by_role("row").nth(1).click()
        expect(page.get_by_role("region", name="Content")).to_be_visible()
        press(window, "Verify ledger")
        expect(page.locator(".page-head")).to_contain_text("Intact:")


def test_markup_from_a_person_is_text(look: Looking, agent: Agent) -> None:
    """In names, tags, metadata, values, descriptions, users and the audit log: nothing runs."""
    name = f"secret/web/{STRANGE}"
    body = {"value": STRANGE, "tags": ["<b>bold</b>"], "metadata": {STRANGE: STRANGE}}
    tell(agent, "POST", "secrets", {"name": name, **body})
    tell(agent, "PUT", "policies/strange", {"description": STRANGE, "rules": []})
    agent.call("GET", f"/api/v1/secrets/{quote(name)}", headers={"User-Agent": STRANGE})
    with look() as window:
        page = window.page
        page.on("dialog", lambda dialog: window.faults.append(dialog.message))
        window.open("/secrets?prefix=secret/web/")
        window.heading("Secrets")
        page.get_by_role("row").last.wait_for()
        window.go(f"/secrets/one?name={quote(name)}")
        press(window, "Reveal value")
        expect(page.get_by_label("Value", exact=True)).to_have_text(STRANGE)
        window.go("/policies/strange")
        window.heading("strange")
        window.go("/audit")
        page.get_by_role("row").filter(has_text="secret.read").first.click()
        assert page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_every_page_is_for_everybody(look: Looking, size: tuple[int, int]) -> None:
    """Nothing is wider than the window, the console is silent, axe-core has no finding."""
    with look(size=size, scheme="dark" if size == NARROW else "light") as window:
        window.open("/")
        for path, title in PAGES.items():
            window.go(path)
            window.heading(title)
            expect(window.page.locator("main .state[role=status]")).to_have_count(0)
            assert window.overflow <= 0, path
            assert window.findings() == [], path
        window.faults[:] = [fault for fault in window.faults if "404" not in fault]


def test_a_cookie_counts_from_our_own_pages_only(look: Looking, agent: Agent) -> None:
    """Another site's request is refused, changes nothing, and is on record for the session.

    One that has the cookie alone is so, too, wherever it says that it is from.
    """
    with look() as window:
        window.open("/health")
        key = {"X-Session-Key": window.session_key}
        for headers, status, code in (
            ({"Origin": "http://evil.example", **key}, 403, "csrf"),
            ({"Sec-Fetch-Site": "same-site", **key}, 403, "csrf"),
            ({"Origin": "http://evil.example"}, 401, "unauthenticated"),
            ({"Origin": agent.address}, 401, "unauthenticated"),
            ({"Origin": agent.address, "X-Session-Key": "guessed"}, 401, "unauthenticated"),
        ):
            for ask in (window.context.request.delete, window.context.request.get):
                answer = ask(f"{agent.address}/api/v1/secrets/secret/app/db", headers=headers)
                assert (answer.status, answer.json()["code"]) == (status, code)
    refused = tell(agent, "GET", "audit/events?operation=session.refuse")["events"][:8]
    assert [event["path"] for event in refused] == ["secret/app/db"] * 8
    assert sorted(event["code"] for event in refused) == ["csrf"] * 4 + ["unauthenticated"] * 4
    assert agent.call("GET", "/api/v1/secrets/secret/app/db").status == 200
