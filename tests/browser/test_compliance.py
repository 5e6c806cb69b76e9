"""Compliance in a real browser: reports made, read, verified, printed; rules, legal holds."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit

SCRIPT = "<img src=x onerror=alert(1)>"
expect.set_options(timeout=PATIENCE)


def press(window: Visit, name: str) -> None:
    """A button of that name."""
    window.page.get_by_role("button", name=name, exact=True).first.click()


def confirm(window: Visit, name: str) -> None:
    """A button of the dialog that is open, which goes away by it."""
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def make(window: Visit, title: str) -> None:
    """A report by the form, and wait for it."""
    press(window, "Make a report…")
    window.page.get_by_role("dialog").get_by_label("Title").fill(title)
    confirm(window, "Make it")
    window.page.get_by_role("heading", name=title, level=2).wait_for(timeout=PATIENCE)


def downloaded(window: Visit, link: str, path: Path) -> Path:
    """What a button of the report downloads."""
    with window.page.expect_download() as told:
        window.page.get_by_role("button", name=link, exact=True).click()
    told.value.save_as(path)
    return path


def test_a_report_is_made_read_verified_and_downloaded(visit: Visiting, tmp_path: Path) -> None:
    """With its proofs, what a person adds, and the file printed without a script."""
    with visit() as window:
        page = window.page
        window.open("/compliance")
        window.heading("Compliance")
        make(window, "First " + SCRIPT)
        expect(page.get_by_role("progressbar")).to_have_count(4)
        press(window, "Verify")
        expect(page.locator(".notice")).to_contain_text("Whole: signed by")
        page.get_by_label("Framework", exact=True).select_option("soc2")
        control = page.locator(".control").filter(has_text="CC7.2")
        control.locator("summary").first.click()
        expect(control).to_contain_text("What people do is on a trail")
        control.locator(".proofs summary").first.click()
        expect(control.locator(".proofs li").first).to_contain_text("Record ")
        press_in = control.get_by_role("button", name="Add a note…")
        press_in.click()
        page.get_by_label("What you can say").fill("Looked at " + SCRIPT)
        confirm(window, "Add")
        assert window.findings() == []
        html = downloaded(window, "HTML", tmp_path / "report.html").read_text()
        assert SCRIPT not in html
        assert "script-src" not in html
        assert "default-src &#x27;none&#x27;" in html
        make(window, "Second")
        expect(page.locator("body")).to_contain_text("Second")
        page.locator(".control").filter(has_text="CC7.2").locator("summary").first.click()
        expect(page.locator(".notes")).to_contain_text("Looked at " + SCRIPT)
        printed(window, html, tmp_path)


def printed(window: Visit, html: str, tmp_path: Path) -> None:
    """The file opens by itself, fits the paper and asks nobody for anything."""
    asked: list[str] = []
    page = window.context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: window.faults.append(str(error)))
    (tmp_path / "alone.html").write_text(html)
    page.goto((tmp_path / "alone.html").as_uri())
    assert len(asked) == 1
    assert page.get_by_role("heading", level=1).inner_text().startswith("First")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    data = page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    assert data.startswith(b"%PDF")
    page.close()


def test_a_schedule_is_made_paused_and_removed(visit: Visiting) -> None:
    """And one that comes too often, or in no zone, is refused in place."""
    with visit(size=NARROW) as window:
        page = window.page
        window.open("/compliance?tab=schedules")
        window.see("No report is made by a clock")
        press(window, "New…")
        page.get_by_label("When").fill("* * * * *")
        page.get_by_role("dialog").get_by_role("button", name="Add").click()
        expect(page.get_by_role("dialog")).to_contain_text("at most once an hour")
        page.get_by_label("When").fill("0 6 1 * *")
        page.get_by_label("Time zone").fill("Europe/Berlin")
        confirm(window, "Add")
        press(window, "Pause")
        expect(page.get_by_role("button", name="Go on")).to_be_visible()
        assert window.overflow <= 0
        assert window.findings() == []
        press(window, "Remove")
        window.see("No report is made by a clock")
        # Chromium itself writes the refusal on the console; there has to be nothing else.
        assert all("400" in fault for fault in window.faults), window.faults
        window.faults.clear()


def test_rules_are_tried_and_holds_placed_and_lifted(visit: Visiting, estate: Estate) -> None:
    """An admin places one, an owner alone lifts it; what would go is shown before it goes."""
    with visit(role="owner") as window:
        page = window.page
        window.open("/retention")
        window.heading("Retention")
        press(window, "What would go now?")
        expect(page.get_by_role("group", name="What would go")).to_contain_text("Trail")
        page.get_by_role("row").filter(has_text="Trail").first.get_by_role(
            "button", name="Change…"
        ).click()
        page.get_by_label("Days").fill("400")
        confirm(window, "Set")
        expect(page.get_by_role("group", name="Rules")).to_contain_text("this organization's rule")
        press(window, "Place a hold…")
        page.get_by_label("Why").fill("Case 7 " + SCRIPT)
        confirm(window, "Place it")
        row = page.get_by_role("row").filter(has_text="Case 7")
        expect(row).to_contain_text("In force")
        assert window.findings() == []
        row.get_by_role("button", name="Lift…").click()
        page.get_by_label("Why").fill("closed")
        confirm(window, "Lift it")
        expect(row).to_contain_text(re.compile("Lifted by .*owner: closed"))
    _put_back(estate)
    with visit(role="admin", size=NARROW) as window:
        window.open("/retention")
        window.heading("Retention")
        window.see("Lifted")
        assert window.page.get_by_role("button", name="Change…").count() == 0
        assert window.overflow <= 0


def _put_back(estate: Estate) -> Any:
    rule = {"kind": "trail", "days": 0}
    return estate.plane.want(200, "PUT", "organizations/acme/retention", rule)
