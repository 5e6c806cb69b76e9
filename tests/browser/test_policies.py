"""Policies in a real browser: written, checked, brought to agents, taken back."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"
TABS = ("agents", "document", "write", "versions", "rollouts")
RULE = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read"]}
expect.set_options(timeout=PATIENCE)


def ask(estate: Estate, status: int, method: str, path: str, body: object = None) -> Any:
    """As the super-admin, of the organization that the agents are in."""
    return estate.plane.want(status, method, f"organizations/acme/{path}", body)


def written(estate: Estate, name: str, *rules: object, comment: str = "") -> None:
    """A version by REST."""
    body = {"document": {"rules": rules or (RULE,)}, "comment": comment}
    ask(estate, 201, "POST", f"policies/{name}/versions", body)


def pointed(estate: Estate, name: str) -> None:
    """For agents that there are none of."""
    body = {"targets": [{"tag": "nobody-has-it"}]}
    ask(estate, 200, "PUT", f"policies/{name}/targets", body)


@pytest.fixture(autouse=True)
def _for_nobody(estate: Estate) -> Iterator[None]:
    """Afterwards no agent has a policy of these tests, and nothing is on its way."""
    yield
    for policy in ask(estate, 200, "GET", "policies"):
        ask(estate, 200, "PUT", f"policies/{policy['name']}/targets", {"targets": []})
        for row in ask(estate, 200, "GET", f"policies/{policy['name']}/rollouts"):
            if row["state"] in ("running", "halted"):
                ask(estate, 200, "POST", f"rollouts/{row['id']}/rollback", {})


def editor(window: Visit, name: str) -> Any:
    """Where the document is typed."""
    return window.page.get_by_label(f"Document of {name}")


def press(window: Visit, name: str) -> None:
    """A button of that name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def open_dialog(window: Visit, name: str) -> None:
    """By the button of that name; while the page reloads what has changed, a click does nothing."""
    dialog = window.page.get_by_role("dialog")
    for _ in range(5):
        press(window, name)
        with suppress(PlaywrightTimeout):
            dialog.wait_for(timeout=10_000)
            return
    expect(dialog).to_be_visible()


def confirm(window: Visit, name: str) -> None:
    """A button of the dialog that is open, which goes away by it."""
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def save(window: Visit, name: str, document: object) -> None:
    """Type a document and save it as the next version."""
    editor(window, name).fill(json.dumps(document, indent=2))
    window.see("Valid")
    open_dialog(window, "Save…")
    confirm(window, "Save")


def agents_have(window: Visit, version: int) -> None:
    """Both agents have applied it, as the page says without a reload."""
    window.page.get_by_role("tab", name="Agents").click()
    table = window.page.get_by_role("group", name="Agents of this policy")
    for vault in ("one", "two"):
        row = table.get_by_role("row").filter(has_text=vault)
        expect(row).to_contain_text(f"{version}")
        expect(row).to_contain_text("Applied")


def test_a_policy_reaches_both_agents_and_is_taken_back(visit: Visiting) -> None:
    """Written, for all, a first version at once, a second by hand: halted, resumed, rolled back."""
    with visit() as window:
        page = window.page
        window.open("/policies")
        open_dialog(window, "Create policy…")
        page.get_by_label("Name").fill("ready")
        confirm(window, "Continue")
        window.heading("ready")
        save(window, "ready", {"rules": [RULE]})
        open_dialog(window, "Edit targets…")
        page.get_by_role("combobox", name="Agents").select_option("all")
        expect(page.get_by_role("dialog")).to_contain_text("2 agents")
        confirm(window, "Save")
        open_dialog(window, "Roll out…")
        expect(page.get_by_role("dialog")).to_contain_text("in steps: 1 → 2")
        confirm(window, "Roll out")
        expect(page.locator(".figure").filter(has_text="In use")).to_contain_text("Version 1")
        agents_have(window, 1)

        page.get_by_role("tab", name="Edit").click()
        save(window, "ready", {"rules": [RULE, {**RULE, "effect": "deny"}]})
        open_dialog(
            window, "Roll out…"
        )  # at once: the version that was just saved, not the one before
        page.get_by_label("Next step").select_option("no")
        confirm(window, "Roll out")
        window.see("This step is complete. Advance the rollout to start the next step.")
        progress = page.get_by_role("progressbar", name="Rollout of ready version 2")
        expect(progress).to_have_attribute("aria-valuetext", "1 of 2")
        open_dialog(window, "Halt…")
        page.get_by_label("Reason").fill("let us look first")
        confirm(window, "Halt")
        window.see("Halted: let us look first")
        open_dialog(window, "Resume…")
        confirm(window, "Resume")
        expect(page.locator(".figure").filter(has_text="In use")).to_contain_text("Version 2")
        agents_have(window, 2)

        page.get_by_role("tab", name="Rollouts").click()
        open_dialog(window, "Roll back…")
        expect(page.get_by_role("dialog")).to_contain_text("gets version 1 again")
        confirm(window, "Roll back")
        window.see("Rolled back")
        agents_have(window, 1)


def test_a_policy_that_agents_refuse_stops_by_itself(visit: Visiting, estate: Estate) -> None:
    """The first refusal halts it, with the reason at the agent; rolled back, nobody has it."""
    written(estate, "refused")
    ask(estate, 200, "PUT", "policies/refused/targets", {"targets": [{"all": True}]})
    ask(estate, 201, "POST", "policies/refused/rollouts", {"version": 1})
    written(estate, "refused", {**RULE, "capabilities": ["fly"]})
    with visit(scheme="dark") as window:
        page = window.page
        window.open("/policies/refused")
        window.heading("refused")
        agents_have(window, 1)
        open_dialog(window, "Roll out…")
        assert window.findings() == []
        confirm(window, "Roll out")
        expect(page.get_by_text(re.compile("^Halted: ")).first).to_be_visible()
        refusals = page.get_by_role("group", name="Agents of this policy")
        expect(refusals.get_by_role("row").filter(has_text="Failed").first).to_be_visible()
        assert window.findings() == []
        open_dialog(window, "Roll back…")
        confirm(window, "Roll back")
        agents_have(window, 1)


def test_faults_are_shown_at_their_lines(visit: Visiting) -> None:
    """As one types: what is no JSON, then what the server finds, with line and field."""
    with visit() as window:
        page = window.page
        window.open("/policies/typed?new=1")
        window.heading("typed")
        editor(window, "typed").fill('{\n  "rules": [\n}')
        fault = page.locator(".editor .fault")
        expect(fault).to_have_text('Line 3 Invalid JSON: "}" is unexpected.')
        expect(page.locator(".gutter .bad")).to_have_text("3")
        assert window.findings() == []
        wrong = {"rules": [RULE, {**RULE, "effect": "perhaps"}]}
        editor(window, "typed").fill(json.dumps(wrong, indent=2))
        expect(fault).to_contain_text("rules[1].effect")
        line = json.dumps(wrong, indent=2).split("\n").index('      "effect": "perhaps",') + 1
        expect(page.locator(".gutter .bad")).to_have_text(str(line))
        expect(page.get_by_role("button", name="Save…")).to_be_disabled()
        fault.click()
        page.keyboard.type('      "effect": "deny",')
        window.see("Valid")
        page.get_by_label("Paths").fill("secret/app/db\nsecret/other")
        trial = page.locator(".dry-run li")
        expect(trial.first).to_contain_text("Denied")
        expect(trial.last).to_contain_text("Not allowed")
        assert all("400" in fault for fault in window.faults), window.faults
        window.faults.clear()


def test_agents_are_asked_before_a_roll_out(visit: Visiting) -> None:
    """A draft that nobody has saved: each agent answers with numbers, as they come."""
    with visit() as window:
        page = window.page
        window.open("/policies/draft?new=1")
        window.heading("draft")
        editor(window, "draft").fill(json.dumps({"rules": [RULE]}))
        window.see("Valid")
        press(window, "Run replay")
        table = page.get_by_role("group", name="Replay by agent", exact=True)
        for vault in ("one", "two"):
            row = table.get_by_role("row").filter(has_text=vault)
            expect(row).to_contain_text("Answered")
        progress = page.get_by_role("progressbar", name="Agents finished")
        expect(progress).to_have_attribute("aria-valuetext", "2 of 2")
        figure = page.locator(".figure").filter(has_text="Newly denied")
        expect(figure.locator(".value")).to_have_text("0")
        assert window.findings() == []


def test_texts_of_people_are_texts(visit: Visiting, estate: Estate) -> None:
    """Script in a comment, a description, a reason is shown and never run."""
    written(estate, "script", comment=SCRIPT)
    body = {"document": {"description": SCRIPT, "rules": [RULE]}, "comment": SCRIPT}
    ask(estate, 201, "POST", "policies/script/versions", body)
    pointed(estate, "script")
    made = ask(estate, 201, "POST", "policies/script/rollouts", {"version": 2, "plan": {}})
    ask(estate, 200, "POST", f"rollouts/{made['id']}/rollback", {"reason": SCRIPT})
    with visit() as window:
        window.page.on("dialog", lambda dialog: window.faults.append(dialog.message))
        window.open("/policies/script?tab=versions")
        window.see(SCRIPT)
        window.go("/rollouts")
        window.see(SCRIPT)
        assert window.page.locator('img[src="x"], #app script').count() == 0


def test_every_part_is_for_everybody(visit: Visiting, estate: Estate) -> None:
    """axe-core finds nothing on any tab nor in a dialog, and nothing is wider than the window."""
    written(estate, "seen", comment="first")
    written(estate, "seen", RULE, {**RULE, "effect": "deny"}, comment="second")
    pointed(estate, "seen")
    ask(estate, 201, "POST", "policies/seen/rollouts", {"version": 1, "plan": {"automatic": False}})
    with visit(size=NARROW, scheme="dark") as window:
        window.open("/policies/seen")
        for tab in TABS:
            window.go(f"/policies/seen?tab={tab}")
            window.heading("seen")
            window.page.get_by_role("tabpanel").wait_for()
            assert window.findings() == [], tab
            assert window.overflow <= 0, tab
        open_dialog(window, "Edit targets…")
        assert window.findings() == []
        window.page.keyboard.press("Escape")


def test_a_viewer_changes_nothing(visit: Visiting, estate: Estate) -> None:
    """No editor, no roll-out, no targets."""
    written(estate, "looked-at")
    with visit(role="viewer") as window:
        window.open("/policies")
        window.page.get_by_role("link", name="looked-at").click()
        window.heading("looked-at")
        assert window.page.get_by_role("tab", name="Edit").count() == 0
        assert window.page.get_by_role("button", name="Roll out…").count() == 0
        assert window.page.get_by_role("button", name="Edit targets…").count() == 0


def test_a_cut_is_made_up_for(visit: Visiting, estate: Estate) -> None:
    """What began while the feed was cut is shown when it is back; until then the page says so."""
    written(estate, "cut")
    feeds: list[WebSocketRoute] = []
    cut = {"now": False}

    def between(feed: WebSocketRoute) -> None:
        feed.connect_to_server()
        feeds.append(feed)
        if cut["now"]:
            feed.close(code=1012)

    with visit() as window:
        window.page.route_web_socket("**/api/v1/live", between)
        window.open("/rollouts")
        window.see("Live")
        cut["now"] = True
        feeds[-1].close(code=1012)
        window.page.get_by_text("Not live since").wait_for()
        plan = {"version": 1, "plan": {"automatic": False, "canary": 1}}
        ask(estate, 200, "PUT", "policies/cut/targets", {"targets": [{"all": True}]})
        ask(estate, 201, "POST", "policies/cut/rollouts", plan)
        assert window.page.get_by_text("cut version 1").count() == 0
        cut["now"] = False
        window.see("cut version 1")
        window.see("1 applied")


def test_a_session_that_ends_hides_what_was_shown(visit: Visiting, estate: Estate) -> None:
    """Ended elsewhere while a policy is open: the door, and nothing of the policy."""
    written(estate, "hidden")
    with visit(role="viewer") as window:
        window.open("/policies/hidden?tab=document")
        window.see("Live")
        own = window.session()
        token = estate.plane.people["acme", "viewer"]
        estate.plane.want(204, "DELETE", f"sessions/{own['session']}", token=token)
        window.heading("Sign in")
        assert "secret/app" not in window.page.inner_text("body")
        # what the page was still asking for is refused, which Chromium writes
        window.faults[:] = [fault for fault in window.faults if "401" not in fault]
