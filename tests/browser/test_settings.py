"""One's own account in a real browser: second factor, sessions, password, how times are shown."""

import re

import pyotp
from playwright.sync_api import expect

from tests.acceptance.control.plane import PASSWORD
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit

OTHER = "another horse battery"
expect.set_options(timeout=PATIENCE)


def replaced(window: Visit, shown: str) -> str:
    """Put another authenticator in the place of the one of which this is a code; its secret."""
    page = window.page
    page.get_by_role("button", name="Replace authenticator…").click()
    page.get_by_label("Authenticator code").fill(shown)
    page.get_by_role("button", name="Continue").click()
    secret = page.locator("code").filter(has_text=re.compile("^[A-Z2-7]{32}$")).inner_text()
    assert window.findings() == []
    page.get_by_label("Authenticator code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Confirm", exact=True).click()
    return secret


def test_an_account_is_its_owners_own(visit: Visiting, estate: Estate) -> None:
    """A factor is set up, replaced and taken away, a session ended, the password changed."""
    plane = estate.plane
    body = {"name": "heidi", "role": "viewer", "password": PASSWORD}
    plane.want(201, "POST", "organizations/acme/users", body)
    elsewhere = plane.login("acme", "heidi")
    with visit(role="heidi", size=NARROW) as window:
        page = window.page
        window.open("/settings")
        page.get_by_label("Time zone").select_option("utc")
        expect(page.get_by_text(re.compile(r"Current time: .*Z\."))).to_be_visible()

        page.get_by_role("button", name="Set up second factor").click()
        secret = page.locator("code").filter(has_text=re.compile("^[A-Z2-7]{32}$")).inner_text()
        assert window.findings() == []
        page.get_by_label("Authenticator code").fill(pyotp.TOTP(secret).now())
        page.get_by_role("button", name="Confirm", exact=True).click()
        codes = page.get_by_role("region", name="Recovery codes", exact=True).locator("pre")
        recovery = codes.inner_text().split()
        assert len(recovery) == 10
        page.get_by_role("button", name="I have saved them").click()
        window.see("10 recovery codes left.")
        assert replaced(window, recovery[0]) != secret
        expect(codes).not_to_contain_text(recovery[1])
        expect(page.get_by_role("row").filter(has_text="Program")).to_have_count(0)
        plane.want(401, "GET", "sessions/current", token=elsewhere)
        page.get_by_role("button", name="I have saved them").click()
        page.get_by_role("button", name="Remove second factor…").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_role("button", name="Set up second factor").wait_for()

        elsewhere = plane.login("acme", "heidi")
        window.open("/settings")
        page.get_by_role("button", name="End all other sessions").click()
        expect(page.get_by_role("row").filter(has_text="Program")).to_have_count(0)
        plane.want(401, "GET", "sessions/current", token=elsewhere)
        assert window.findings() == []
        assert window.overflow <= 0

        page.get_by_label("Current password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill(OTHER)
        page.get_by_label("Repeat new password").fill("something else")
        page.get_by_role("button", name="Change password").click()
        window.see("The new passwords do not match.")
        page.get_by_label("Repeat new password").fill(OTHER)
        page.get_by_role("button", name="Change password").click()
        window.heading("Sign in")
    plane.login("acme", "heidi", OTHER)
    plane.want(204, "DELETE", "organizations/acme/users/heidi")
