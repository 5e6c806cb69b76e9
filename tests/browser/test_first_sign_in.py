"""The first sign-in of the super-admin: to where the agents will be, and safer from then on."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.plane import dev_plane
from tests.browser.estate import Estate
from tests.browser.visit import PATIENCE, Visit, visiting

NUDGE = "Your account has no second factor"
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Estate]:
    """A control plane with the organization `acme` and nobody but the super-admin and a viewer."""
    with own_folder() as folder:
        plane = dev_plane(folder)
        with running(plane):
            plane.sign_in()
            plane.organization("acme", "viewer")
            yield Estate(plane, {})


def sign_in(window: Visit, estate: Estate) -> None:
    """By the form, as the super-admin."""
    window.open("/")
    window.page.get_by_label("Organization").fill("platform")
    window.page.get_by_label("Name").fill("admin")
    window.page.get_by_label("Password").fill(estate.password("platform"))
    window.page.get_by_role("button", name="Sign in", exact=True).click()
    window.heading("Fleet")


def test_with_one_organization_it_is_shown(chromium: Browser, fresh: Estate) -> None:
    """The platform's own has no agents; it can be chosen all the same, and with two it is first."""
    with visiting(chromium, fresh, role=None) as window:
        sign_in(window, fresh)
        picker = window.page.get_by_label("Organization", exact=True)
        expect(picker).to_have_value("acme")
        assert window.page.url.endswith("?org=acme")
        picker.select_option("platform")
        expect(picker).to_have_value("platform")
        window.page.reload()
        expect(picker).to_have_value("platform")
    fresh.plane.want(201, "POST", "organizations", {"id": "second"})
    with visiting(chromium, fresh, role=None) as window:
        sign_in(window, fresh)
        expect(window.page.get_by_label("Organization", exact=True)).to_have_value("platform")


def test_who_may_much_is_asked_for_a_second_factor(chromium: Browser, fresh: Estate) -> None:
    """Once: dismissed, it stays away in this browser. A viewer is not asked."""
    with visiting(chromium, fresh, org="platform") as window:
        page = window.page
        window.open("/")
        page.get_by_text(NUDGE).wait_for()
        assert window.findings() == []
        page.get_by_role("link", name="Set up…").click()
        window.heading("Settings")
        page.go_back()
        notice = page.locator(".notice").filter(has_text=NUDGE)
        notice.get_by_role("button", name="Dismiss").click()
        expect(notice).to_have_count(0)
        page.reload()
        window.heading("Fleet")
        expect(notice).to_have_count(0)
    with visiting(chromium, fresh, role="viewer") as window:
        window.open("/")
        window.heading("Fleet")
        expect(window.page.get_by_text(NUDGE)).to_have_count(0)
