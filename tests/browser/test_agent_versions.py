"""What was said of a secret's versions, compared on the agent's own page."""

import re

from playwright.sync_api import expect

from tests.acceptance.agent import Agent
from tests.browser.conftest import Looking
from tests.browser.lone import STRANGE, tell
from tests.browser.visit import NARROW, PATIENCE

expect.set_options(timeout=PATIENCE)


def test_what_was_said_of_each_version_is_compared(look: Looking, agent: Agent) -> None:
    """A version beside the one before, beside another, and beside the secret version: current."""
    name = "secret/web/labels"
    first = {"name": name, "value": 1, "metadata": {"env": "dev"}, "tags": ["db", STRANGE]}
    tell(agent, "POST", "secrets", first)
    tell(agent, "PUT", f"secrets/{name}", {"value": 2, "metadata": {"env": "prod"}, "tags": ["db"]})
    tell(agent, "PUT", f"secrets/{name}", {"value": 3})
    tell(agent, "PATCH", f"metadata/{name}", {"metadata": {"team": "a"}})
    with look() as window:
        page = window.page
        window.open(f"/secrets/one?name={name}")
        listed = page.get_by_role("row").filter(has_text="root")
        expect(listed).to_contain_text([re.compile("^3(?!.*Changed)"), "Changed", "1"])
        listed.filter(has_text=re.compile("^2")).click()
        shown = page.get_by_label(re.compile("^Differences"))
        expect(shown.locator(".gone")).to_contain_text([f"tag: {STRANGE}", "env = dev"])
        expect(shown.locator(".new")).to_contain_text(["env = prod"])
        page.get_by_label("Version to compare with").select_option("Current secret")
        expect(shown.locator(".new")).to_contain_text(["version: current", "team = a"])
        expect(shown.locator(".same")).to_contain_text(["tag: db", "env = prod"])
        page.get_by_label("Version to compare with").select_option("Version 3")
        expect(shown.locator(".same")).to_contain_text(
            ["written by: root", "tag: db", "env = prod"]
        )


def test_versions_are_compared_by_keyboard_on_a_telephone(look: Looking, agent: Agent) -> None:
    """Chosen by End and Enter, compared by the list; nothing is off the screen or unnamed."""
    name = "secret/web/keys"
    tell(agent, "POST", "secrets", {"name": name, "value": 1, "metadata": {"env": "dev"}})
    tell(agent, "PUT", f"secrets/{name}", {"value": 2, "metadata": {"env": "e" * 300}})
    with look(size=NARROW, scheme="dark") as window:
        page = window.page
        window.open(f"/secrets/one?name={name}")
        shown = page.get_by_label(re.compile("^Differences"))
        expect(shown.locator(".new").last).to_contain_text("env = eee")
        assert (window.findings(), window.overflow) == ([], 0)
        page.get_by_role("group", name="Versions", exact=True).focus()
        for key in ("End", "Enter"):
            page.keyboard.press(key)
        window.see("Version 1")
        page.get_by_label("Version to compare with").focus()
        page.keyboard.press("Home")
        expect(shown.locator(".new").first).to_contain_text("version: current")
        expect(shown.locator(".gone").last).to_contain_text("env = dev")
