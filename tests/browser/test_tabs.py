"""One session in several tabs: the session key is the origin's, so all of them have it."""

from playwright.sync_api import Browser, Page, expect

from tests.acceptance.agent import Agent
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.lone import tell
from tests.browser.visit import PATIENCE, visiting

expect.set_options(timeout=PATIENCE)


def heading(page: Page, text: str) -> None:
    """Wait until this tab shows it."""
    page.get_by_role("heading", name=text, exact=True, level=1).wait_for(timeout=PATIENCE)


def press(page: Page, name: str) -> None:
    """A button of this tab."""
    page.get_by_role("button", name=name, exact=True).click()


def test_tabs_of_the_agent(chromium: Browser, agent: Agent) -> None:
    """A second tab is signed in; out in one is out in both; in as another is so in both."""
    looks = {"effect": "allow", "paths": ["sys/health"], "capabilities": ["read"]}
    tell(agent, "PUT", "policies/looks", {"rules": [looks]})
    token = tell(agent, "POST", "tokens", {"policies": ["looks"]})["token"]
    with visiting(chromium, agent, role=None) as window:
        one, two = window.page, window.context.new_page()
        one.goto(f"{agent.address}/health")
        for credential, policies in ((agent.token, "root"), (token, "looks")):
            one.get_by_label("Token or API key", exact=True).fill(credential)
            press(one, "Sign in")
            heading(one, "Health")
            two.goto(f"{agent.address}/health")
            heading(two, "Health")
            expect(two.locator(".who")).to_contain_text(policies)
            press(two, "Sign out")
            heading(two, "Sign in")
            heading(one, "Sign in")
        two.get_by_label("Token or API key", exact=True).fill(agent.token)
        press(two, "Sign in")
        heading(one, "Health")
        one.reload()
        heading(one, "Health")
        window.faults[:] = [fault for fault in window.faults if "401" not in fault]


def test_tabs_of_the_control_plane(visit: Visiting, estate: Estate) -> None:
    """The same; a tab never acts for somebody else than it shows."""
    with visit(role="admin") as window:
        one, two = window.page, window.context.new_page()
        for page in (one, two):
            page.goto(estate.address)
            heading(page, "Fleet")
        press(two, "Sign out")
        heading(two, "Sign in")
        heading(one, "Sign in")
        for label, text in {
            "Organization": "acme", "Name": "viewer", "Password": estate.password("acme"),
        }.items():  # fmt: skip
            two.get_by_label(label, exact=True).fill(text)
        press(two, "Sign in")
        heading(two, "Fleet")
        heading(one, "Fleet")
        expect(one.locator(".who")).to_contain_text("viewer")
        window.faults[:] = [fault for fault in window.faults if "401" not in fault]
