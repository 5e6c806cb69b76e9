"""People in a real browser: invited, changed, put out; and what the pages make of hostile words."""

import re

from playwright.sync_api import expect

from tests.acceptance.control.plane import PASSWORD
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"
expect.set_options(timeout=PATIENCE)


def press(window: Visit, name: str) -> None:
    """A button of that name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def confirm(window: Visit, name: str) -> None:
    """A button of the dialog that is open, which goes away by it."""
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def expected(window: Visit, *statuses: int) -> None:
    """Chromium writes refusals on the console; there has to be nothing else."""
    allowed = [str(status) for status in statuses]
    assert all(any(each in fault for each in allowed) for fault in window.faults), window.faults
    window.faults.clear()


def secret_is_gone(window: Visit) -> bool:
    """Neither the address nor any entry of the tab's history has a link's secret."""
    history = window.context.new_cdp_session(window.page).send("Page.getNavigationHistory")
    return "invitation" not in window.page.url + str([each["url"] for each in history["entries"]])


def test_somebody_is_invited_comes_is_changed_and_put_out(visit: Visiting) -> None:
    """By the link alone; another role ends the session; the link is good once."""
    with visit(role="admin") as admin, visit(role=None, size=NARROW) as guest:
        admin.open("/people?tab=invitations")
        admin.page.get_by_label("Email").fill("grace@example.org")
        admin.page.get_by_label("Role").select_option("operator")
        press(admin, "Invite")
        link = admin.page.get_by_role("region", name="Link").locator("pre").inner_text()
        path = link.removeprefix(guest.address)
        assert path.startswith("/#invitation=fhi_")
        assert admin.findings() == []

        guest.open(path)
        guest.heading("Join acme")
        assert guest.page.url == f"{guest.address}/"
        with guest.page.expect_request("**/oidc/begin") as begun:
            press(guest, "Sign in with identity provider")
        told = {"organization": "acme", "invitation": path.partition("=")[2]}
        assert begun.value.post_data_json == told
        guest.see("This organization has no identity provider.")
        expected(guest, 401, 404)
        assert guest.findings() == []
        assert guest.overflow <= 0
        guest.page.get_by_label("Name").fill("grace")
        guest.page.get_by_label("Password").fill(PASSWORD)
        press(guest, "Create account")
        guest.heading("Fleet")
        assert secret_is_gone(guest)

        admin.go("/people?who=grace")
        press(admin, "Change role…")
        admin.page.get_by_role("dialog").get_by_label("Role").select_option("viewer")
        confirm(admin, "Change")
        row = admin.page.get_by_role("row").filter(has_text="grace")
        expect(row).to_contain_text("viewer")
        guest.heading("Sign in")
        guest.open(path)
        guest.see(
            "This invitation is not valid: it was used, revoked or has expired. Ask for a new one."
        )
        expected(guest, 401, 404)

        admin.go("/audit?operation=users.change_user&target=grace&phase=outcome")
        record = admin.page.get_by_role("row").filter(has_text="users.change_user")
        expect(record).to_contain_text("acme/admin")
        record.click()
        facts = admin.page.get_by_role("region", name="Details")
        expect(facts).to_contain_text("viewer")
        assert admin.findings() == []
        admin.page.get_by_role("tab", name="Verify and export").click()
        press(admin, "Verify now")
        admin.see("Intact")

        admin.go("/people?who=grace")
        press(admin, "Delete account…")
        confirm(admin, "Remove")
        expect(row).to_have_count(0)


def test_who_has_an_account_joins_with_it(visit: Visiting, estate: Estate) -> None:
    """Signed in and with a link: asked, then there; the membership can be ended."""
    body = {"email": "viewer@example.org", "role": "viewer"}
    made = estate.plane.want(201, "POST", "organizations/vast/invitations", body)
    with visit(role="viewer") as window:
        window.open(made["link"].removeprefix(estate.address))
        window.see("Join vast?")
        assert secret_is_gone(window)
        confirm(window, "Join")
        window.see("You joined vast")
        expect(window.page.get_by_label("Organization")).to_have_value("vast")
    with visit(org="platform") as boss:
        boss.open("/people?org=vast&who=acme/viewer")
        press(boss, "Remove member…")
        confirm(boss, "Remove")
        expect(boss.page.get_by_role("row").filter(has_text="acme/viewer")).to_have_count(0)


def test_words_of_people_are_text(visit: Visiting, estate: Estate) -> None:
    """A label and a title that would be a script in a page that trusted them."""
    plane = estate.plane
    token = {"role": "viewer", "ttl": 3600, "label": SCRIPT}
    owner = plane.people["acme", "owner"]
    made = plane.want(201, "POST", "tokens", token, token=owner)["token"]
    plane.want(201, "POST", "organizations", {"id": "wordy", "title": SCRIPT})
    with visit(org="platform") as window:
        window.open("/organizations")
        window.see(SCRIPT)
        window.go("/people?tab=tokens&org=acme")
        window.see(SCRIPT)
        assert window.findings() == []
        row = window.page.get_by_role("row").filter(has_text=re.compile("onerror"))
        row.get_by_role("button", name="Revoke").click()
        expect(row).to_have_count(0)
    assert made["id"] not in str(plane.want(200, "GET", "organizations/acme/tokens"))
