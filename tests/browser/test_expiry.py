"""A session that ends by time while its page is open: one is told, and comes back to the page."""

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent
from tests.acceptance.control.plane import PASSWORD
from tests.browser.conftest import Looking, Visiting
from tests.browser.estate import Estate
from tests.browser.lone import looking, tell
from tests.browser.visit import PATIENCE, Visit

SESSION_ENDED = "Your session has ended. Sign in again to return to this page."
MINUTE = 60_000  # milliseconds
KNOWN_WITHIN = 120_000  # milliseconds: a feed looks at its session every 15 s
expect.set_options(timeout=PATIENCE)


def at_the_door(window: Visit) -> None:
    """Signed out without having asked for it, and told so; nothing of the page is left."""
    window.page.get_by_role("heading", name="Sign in").wait_for(timeout=KNOWN_WITHIN)
    window.see(SESSION_ENDED)
    assert window.findings() == []
    assert window.overflow <= 0
    assert window.page.get_by_role("navigation").count() == 0


def unanswered(window: Visit) -> None:
    """Chromium itself writes every 401 on the console; there has to be nothing else."""
    assert all("401" in fault for fault in window.faults), window.faults
    window.faults.clear()


def ended(estate: Estate, column: str) -> None:
    """As if the time had gone by, by the database: nobody waits for two hours."""
    path = estate.plane.data / "control.db"
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(
            f"UPDATE tokens SET {column} = 1 WHERE kind = 'browser' AND user = 'admin'"  # noqa: S608 - of this file
        )


def again(window: Visit) -> None:
    """Sign in on the dashboard, where one is asked to."""
    page = window.page
    page.get_by_label("Organization").fill("acme")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.mark.parametrize("column", ["seen_at", "expires_at"])
def test_the_dashboard_tells_and_comes_back(visit: Visiting, estate: Estate, column: str) -> None:
    """Unused for too long, or over at last: a page that moves by itself notices by itself."""
    with visit() as window:
        window.open("/agents/one?tab=actors")
        window.see("Live")
        ended(estate, column)
        at_the_door(window)
        again(window)
        window.heading("one")
        window.see("Live")
        assert window.page.url.endswith("/agents/one?tab=actors")
        expect(window.page.get_by_text(SESSION_ENDED)).to_have_count(0)
        window.page.get_by_role("button", name="Sign out").click()
        window.heading("Sign in")
        expect(window.page.get_by_text(SESSION_ENDED)).to_have_count(0)  # one has asked for it
        unanswered(window)


def test_the_dashboard_tells_at_the_next_step(visit: Visiting, estate: Estate) -> None:
    """On a page that asks for nothing by itself; one comes to where one wanted to go."""
    with visit() as window:
        window.open("/settings")
        window.heading("Settings")
        window.page.wait_for_load_state("networkidle")  # else what is still asked is the next step
        ended(estate, "seen_at")
        window.page.get_by_role("link", name="Audit log").click()
        at_the_door(window)
        again(window)
        window.heading("Audit log")
        unanswered(window)


def test_the_agents_pages_tell_when_nobody_was_there(look: Looking, agent: Agent) -> None:
    """By the page's clock; whoever presses a key is there, and stays."""
    with look() as window:
        clock = window.page.clock
        clock.install()
        window.open("/policies/app")
        window.heading("app")
        clock.fast_forward(10 * MINUTE)
        with window.page.expect_response("**/sessions/current/renew"):
            window.page.keyboard.press("Shift")
            clock.run_for(6000)
        clock.fast_forward(10 * MINUTE)
        window.heading("app")
        clock.fast_forward(6 * MINUTE)
        at_the_door(window)
        window.page.get_by_label("Token or API key", exact=True).fill(agent.token)
        window.page.get_by_role("button", name="Sign in", exact=True).click()
        window.heading("app")
        unanswered(window)


def test_the_agents_pages_tell_when_it_is_over(chromium: Browser, agent: Agent) -> None:
    """A session ends with the token that it came from, whoever is there."""
    made = tell(agent, "POST", "tokens", {"policies": ["root"], "ttl": "30s"})
    with looking(chromium, agent, credential=made["token"]) as window:
        window.open("/health")
        window.see("Live")
        at_the_door(window)
        window.page.get_by_label("Token or API key", exact=True).fill(agent.token)
        window.page.get_by_role("button", name="Sign in", exact=True).click()
        window.heading("Health")
        window.see("Live")
        assert window.page.url.endswith("/health")
        unanswered(window)
