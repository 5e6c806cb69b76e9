"""The dashboard and the agent's own pages by keyboard alone."""

from playwright.sync_api import Browser, expect

from tests.browser import test_agent
from tests.browser.conftest import Visiting
from tests.browser.keyboard import dialogs, reached_by_tab
from tests.browser.lone import lone, looking
from tests.browser.test_fleet import PAGES
from tests.browser.visit import PATIENCE

expect.set_options(timeout=PATIENCE)


def test_tab_reaches_every_control_in_order(visit: Visiting) -> None:
    """On each page, from the skip link to the last one, seen where it is; nothing holds it."""
    with visit(role="owner") as window:
        reached_by_tab(window, PAGES)


def test_every_dialog_holds_the_focus_and_gives_it_back(visit: Visiting) -> None:
    """Opened by Enter from its button; Tab stays in it, Escape leaves; axe-core finds nothing."""
    with visit(role="owner") as window:
        done = dialogs(window, PAGES)
    assert len(done) > 12, done


def test_the_agents_own_pages_need_no_mouse(chromium: Browser) -> None:
    """Both, on each of them."""
    with lone() as agent:
        user = agent.call("GET", "/api/v1/users").json["users"][0]["id"]
        pages = {**test_agent.PAGES, f"/users/{user}": "ada"}
        with looking(chromium, agent) as window:
            reached_by_tab(window, pages)
            done = dialogs(window, pages)
            window.faults[:] = [fault for fault in window.faults if "404" not in fault]
    assert len(done) > 5, done
