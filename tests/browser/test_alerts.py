"""Alerts and channels in a real browser, over a real control plane and real agents."""

import sqlite3
from contextlib import closing

from playwright.sync_api import Locator, expect

from tests.acceptance.control.plane import PASSWORD
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit

SCRIPT = "<img src=x onerror=alert(1)>"
expect.set_options(timeout=PATIENCE)


def alerts(window: Visit, code: str, vault: str) -> Locator:
    """Those that are shown, the newest first."""
    found = window.page.get_by_role("list", name="Alerts").get_by_role("listitem")
    return found.filter(has_text=code).filter(has_text=vault)


def test_an_agent_that_dies_is_told_at_once(visit: Visiting, estate: Estate) -> None:
    """Without a reload: one row, which fires, is acknowledged by a person, and is over."""
    with visit() as window:
        page = window.page
        window.open("/alerts?q=offline&vault=two")
        window.see("Live")
        estate.agents["two"].kill()
        row = alerts(window, "Agent offline", "two").filter(has_text="not resolved")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("Firing")
        row.get_by_role("button", name="Acknowledge").click()
        page.get_by_label("Note").fill("pulled the plug")
        page.get_by_role("button", name="Acknowledge", exact=True).click()
        expect(row).to_contain_text("Acknowledged")
        estate.agents["two"].start()
        over = alerts(window, "Agent offline", "two").filter(has_text="pulled the plug")
        expect(over).to_contain_text("Resolved")
        expect(over).to_contain_text("lasted")
        expect(over).to_contain_text("acme/admin")
        expect(alerts(window, "Agent online", "two")).to_have_count(0)
        page.get_by_label("State").select_option("open")
        expect(over).to_have_count(0)
        page.get_by_label("State").select_option("resolved")
        expect(over).to_have_count(1)
        page.get_by_label("Severity").select_option("info")
        window.see("No matching alerts")
        assert window.findings() == []


def test_a_sealed_agent_is_not_online(visit: Visiting, estate: Estate) -> None:
    """Its state on both pages, its figure, and a critical alert until it is unsealed."""
    agent = estate.agents["two"]
    with visit() as window:
        page = window.page
        window.open("/")
        row = page.get_by_role("row").filter(has_text="two")
        firing = page.locator(".figure").filter(has_text="Alerts firing")
        expect(row).to_contain_text("Online")
        before = int(firing.locator("strong, .value").first.inner_text())
        assert agent.call("POST", "/api/v1/system/seal").status == 204
        expect(row).to_contain_text("Sealed")
        expect(page.locator(".figure").filter(has_text="Sealed")).to_contain_text("1")
        expect(firing).to_contain_text(str(before + 1))
        page.get_by_role("link", name="two", exact=True).click()
        expect(page.locator(".page-head")).to_contain_text("Sealed")
        assert window.findings() == []
        window.open("/alerts?state=firing&vault=two")
        sealed = alerts(window, "Sealed", "two")
        expect(sealed).to_contain_text("Critical")
        key = (agent.data / "root.key").read_bytes().hex()
        assert agent.call("PUT", "/v1/sys/unseal", {"key": key}, token="").status == 200
        expect(sealed).to_have_count(0)
        window.open("/agents/two")
        expect(page.locator(".page-head")).to_contain_text("Online")


def test_what_an_agent_says_is_text(visit: Visiting, estate: Estate) -> None:
    """Script in an alert is shown and never run. By the database: no agent of ours would say it."""
    row = {
        "org": "acme", "id": "b" * 32, "vault": "one", "code": "policy_alert", "severity": "info",
        "message": SCRIPT, "at": 1_000_000_000, "acknowledged_by": SCRIPT, "acknowledged_at": 2,
        "note": SCRIPT, "subject": "", "count": 1, "last_at": 2, "ended_at": 3, "reopened": 0,
        "resolve_at": 0,
    }  # fmt: skip
    path = estate.plane.data / "control.db"
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        places = ", ".join(f":{name}" for name in row)
        database.execute(f"INSERT INTO alerts ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608 - names
    with visit() as window:
        window.page.on("dialog", lambda dialog: window.faults.append(dialog.message))
        window.open("/alerts?q=onerror")
        window.see(SCRIPT)
        assert window.page.locator('img[src="x"]').count() == 0


def test_older_ones_are_reached_as_they_are_narrowed(visit: Visiting, estate: Estate) -> None:
    """Page by page behind the live ones, many of one second; an open one is seen."""
    path = estate.plane.data / "control.db"
    rows = [
        ("vast", f"{n:032x}", f"vault-{n % 2:05d}", "c", "critical" if n % 3 else "info", f"m{n}",
         (1_000 - n // 300) * 10**9, "", 0, "", "", 1, 1, 10**12 if n < 899 else 0, 0, 0)
        for n in range(900)
    ]  # fmt: skip
    columns = "org, id, vault, code, severity, message, at, acknowledged_by, acknowledged_at, note,"
    columns += " subject, count, last_at, ended_at, reopened, resolve_at"
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO alerts ({columns}) VALUES ({marks})", rows)  # noqa: S608 - names
    with visit(org="platform") as window:
        page = window.page
        window.open("/alerts?org=vast&severity=critical&vault=vault-00001&q=M8")
        older = page.get_by_role("button", name="Load older alerts")
        shown = page.get_by_role("list", name="Alerts").get_by_role("listitem")
        wanted = [n for n in range(900) if n % 3 and n % 2 and f"m{n}".startswith("m8")]
        older.click()
        expect(shown).to_have_count(len(wanted))
        expect(older).to_have_count(0)  # the server narrows: one page has them all
        assert page.url.endswith("severity=critical&vault=vault-00001&q=M8")
        last = shown.filter(has_text="m899")
        last.get_by_role("button", name="Acknowledge").click()
        page.get_by_role("dialog").get_by_role("button", name="Acknowledge", exact=True).click()
        expect(last).to_contain_text("platform/admin")
        for label in ("Severity", "Agent"):
            page.get_by_label(label, exact=True).select_option("")
        page.get_by_role("searchbox", name="Find alerts").fill("")
        for count in (300, 400, 500, 600, 700, 800, 900):
            older.click()
            expect(shown).to_have_count(count)
        older.click()
        expect(older).to_have_count(0)
        expect(shown).to_have_count(900)
        assert window.overflow <= 0


def test_a_viewer_only_looks(visit: Visiting) -> None:
    """Nothing to acknowledge, no channels."""
    with visit(role="viewer") as window:
        window.open("/alerts")
        window.heading("Alerts")
        expect(window.page.get_by_role("tab")).to_have_count(1)
        assert window.page.get_by_role("button", name="Acknowledge").count() == 0


def test_a_channel_is_made_tried_and_taken_away(visit: Visiting, estate: Estate) -> None:
    """A webhook: its key once, a real attempt that fails and says why, disabled, edited, gone."""
    with visit(size=NARROW) as window:
        page = window.page
        window.open("/alerts?tab=channels")
        page.get_by_role("button", name="Create channel…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name", exact=True).fill("on call")
        dialog.get_by_label("Type").select_option("webhook")
        dialog.get_by_label("Address").fill("ftp://hooks.invalid/freehold")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.locator(".fault:visible")).to_have_count(1)
        assert window.findings() == []
        dialog.get_by_label("Address").fill("https://hooks.invalid/freehold")
        dialog.get_by_label("Hold messages during quiet hours").check()
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_have_count(0)
        key = page.get_by_label("Signing key", exact=True).inner_text()
        assert len(key) > 20
        page.get_by_role("button", name="Done").click()
        card = page.get_by_role("region", name="on call")
        expect(card).to_contain_text("hooks.invalid")
        expect(card).to_contain_text("22:00 to 07:00")
        assert key not in page.inner_text("body")
        assert window.findings() == []
        assert window.overflow <= 0
        card.get_by_role("button", name="Test").click()
        page.get_by_text("Test message not sent by on call:").wait_for(timeout=PATIENCE)
        page.get_by_role("button", name="Dismiss").last.click()
        card.get_by_role("button", name="Disable").click()
        expect(card).to_contain_text("Disabled")
        card.get_by_role("button", name="Edit…").click()
        dialog.get_by_label("Digest interval (minutes)").fill("5")
        dialog.get_by_role("button", name="Save").click()
        expect(card).to_contain_text("Every 5 min")
        expect(card).to_contain_text("Disabled")
        card.get_by_role("button", name="Delete…").click()
        dialog.get_by_role("button", name="Delete", exact=True).click()
        window.see("No channels yet")
        assert all("400" in fault for fault in window.faults), window.faults
        window.faults.clear()


def test_a_channel_of_somebody_who_was_removed_is_taken_over(
    visit: Visiting, estate: Estate
) -> None:
    """It says whose it was and where it sends; alerts say that nobody is told any more."""
    plane, base = estate.plane, "organizations/acme"
    eve = {"name": "eve", "role": "admin", "password": PASSWORD}
    plane.want(201, "POST", f"{base}/users", eve)
    body = {"name": "of eve", "type": "webhook", "url": "https://hooks.invalid/eve"}
    token = plane.login("acme", "eve")
    plane.want(201, "POST", f"{base}/channels", body, token=token)
    with visit() as window:
        page = window.page
        window.open("/alerts")
        window.see("Live")
        plane.want(204, "DELETE", f"{base}/users/eve")
        page.get_by_text("critical alerts are sent to nobody").wait_for(timeout=PATIENCE)
        page.get_by_text("made by acme/eve, who was removed").first.wait_for()
        window.open("/alerts?tab=channels")
        card = page.get_by_role("region", name="of eve")
        expect(card).to_contain_text("Suspended: made by acme/eve, who was removed")
        expect(card.get_by_role("button", name="Test")).to_have_count(0)
        card.get_by_role("button", name="Take over…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("hooks.invalid")
        assert window.findings() == []
        dialog.get_by_role("button", name="Take over", exact=True).click()
        expect(card).not_to_contain_text("Suspended")
        expect(card).to_contain_text("acme/admin")
        card.get_by_role("button", name="Delete…").click()
        dialog.get_by_role("button", name="Delete", exact=True).click()
        window.see("No channels yet")


def test_a_channel_without_an_owner_is_taken_over(visit: Visiting, estate: Estate) -> None:
    """One that an older release made sends whoever leaves: it says so until somebody owns it."""
    plane, base = estate.plane, "organizations/acme"
    body = {"name": "old", "type": "webhook", "url": "https://hooks.invalid/old"}
    plane.want(201, "POST", f"{base}/channels", body)
    with closing(sqlite3.connect(plane.data / "control.db", timeout=30)) as database, database:
        database.execute("UPDATE channels SET owner = '' WHERE name = 'old'")
    with visit() as window:
        page = window.page
        window.open("/alerts?tab=channels")
        card = page.get_by_role("region", name="old")
        expect(card).to_contain_text("No owner: this channel keeps sending")
        expect(card.get_by_role("button", name="Test")).to_have_count(1)
        card.get_by_role("button", name="Take over…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("until your account is removed")
        assert window.findings() == []
        dialog.get_by_role("button", name="Take over", exact=True).click()
        expect(card).not_to_contain_text("No owner")
        expect(card).to_contain_text("acme/admin")
        card.get_by_role("button", name="Delete…").click()
        dialog.get_by_role("button", name="Delete", exact=True).click()
        window.see("No channels yet")
