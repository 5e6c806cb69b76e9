"""A secret's versions and consumers on the agent's own page."""

import re

from playwright.sync_api import expect

from tests.acceptance.agent import Agent
from tests.acceptance.link.estate import until
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


def test_who_fetched_which_version_is_listed(look: Looking, agent: Agent) -> None:
    """By name, the old version marked; what connects with the secret is linked; no value."""
    name, target = "secret/web/shared", "secret/web/target"
    tell(agent, "POST", "secrets", {"name": name, "value": {"signing_key": "k" * 32}})
    tell(agent, "POST", "secrets", {"name": target, "value": {"password": "old"}})
    tell(agent, "PUT", f"rotation/{target}", {"rotator": "generated", "connection": name})
    rule = {"effect": "allow", "paths": [name], "capabilities": ["read"]}
    tell(agent, "PUT", "policies/shared", {"rules": [rule]})
    tell(agent, "POST", "users", {"username": "eve", "policies": ["shared"]})
    key = tell(agent, "POST", "keys", {"user": "eve", "name": "billing"})["key"]
    with look() as window:
        page = window.page
        window.open(f"/secrets/one?name={name}")
        listed = page.get_by_role("group", name="Consumers", exact=True)
        expect(listed).to_contain_text("No consumers")
        assert agent.call("GET", f"/api/v1/secrets/{name}", token=key).status == 200
        until(lambda: tell(agent, "GET", f"consumers/{name}")["consumers"], "a consumer")
        tell(agent, "PUT", f"secrets/{name}", {"value": {"signing_key": "n" * 32}})
        page.reload()
        row = listed.get_by_role("row").filter(has_text="eve")
        for text in ("API key", "1", "Old version"):
            expect(row).to_contain_text(text)
        assert "kkkk" not in page.content()
        assert (window.findings(), window.overflow) == ([], 0)
        assert agent.call("GET", f"/api/v1/secrets/{name}", token=key).status == 200
        until(lambda: _version(agent, name) == 2, "the new version")
        page.reload()
        expect(row).to_contain_text("Current version")
        connected = page.get_by_role("region", name="Connects with this secret")
        connected.get_by_role("link", name=target).click()
        window.heading(target)


def _version(agent: Agent, name: str) -> int:
    """The one that the only consumer has."""
    (consumer,) = tell(agent, "GET", f"consumers/{name}")["consumers"]
    return int(consumer["version"])
