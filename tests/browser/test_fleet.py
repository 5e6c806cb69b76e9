"""The dashboard's first pages in a real browser, over a real control plane and real agents."""

import re
import sqlite3
import time
from contextlib import closing

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.acceptance.control.plane import PASSWORD
from tests.acceptance.link.test_agent import until
from tests.browser.conftest import Visiting
from tests.browser.estate import MANY, Estate
from tests.browser.visit import NARROW, PATIENCE, WIDE, WIDEST, Visit

PAGES = {
    "/": "Fleet",
    "/agents/one": "one",
    "/agents/one?tab=actors": "one",
    "/agents/one?tab=metrics": "one",
    "/agents/one?tab=commands": "one",
    "/policies": "Policies",
    "/policies/new?new=1": "new",
    "/rollouts": "Rollouts",
    "/enrolment": "Enrolment",
    "/alerts": "Alerts",
    "/alerts?tab=channels": "Alerts",
    "/alerts?tab=deliveries": "Alerts",
    "/compliance": "Compliance",
    "/compliance?tab=schedules": "Compliance",
    "/retention": "Retention",
    "/agents/nobody": "nobody",
    "/usage": "Usage and capacity",
    "/usage?tab=top": "Usage and capacity",
    "/usage?tab=secrets": "Usage and capacity",
    "/usage?tab=capacity": "Usage and capacity",
    "/audit": "Audit log",
    "/audit?record=1&phase=outcome": "Audit log",
    "/audit?tab=verify": "Audit log",
    "/settings": "Settings",
    "/people": "People",
    "/people?who=viewer": "People",
    "/people?tab=invitations": "People",
    "/people?tab=tokens": "People",
    "/people?tab=provider": "People",
    "/people?tab=rules": "People",
    "/no-such-page": "Not found",
}
# The body: the browser's own controls have the focus, between the last field and the first.
_IN_DIALOG = """(at => at === document.body || !!at.closest("dialog"))(document.activeElement)"""
expect.set_options(timeout=PATIENCE)


def row(visit: Visit, vault: str) -> str:
    """What the list says of an agent."""
    return visit.page.get_by_role("row").filter(has_text=re.compile(rf"\b{vault}\b")).inner_text()


def test_the_door_opens_for_the_right_password_alone(visit: Visiting) -> None:
    """Sign in by the form at a deep link, land there, sign out again."""
    with visit(role=None) as window:
        page = window.page
        window.open("/agents/one")
        page.get_by_label("Organization").fill("acme")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Sign in", exact=True).click()
        window.see("Wrong organization, name or password.")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        window.heading("one")
        page.get_by_role("button", name="Sign out").click()
        window.heading("Sign in")
        page.reload()
        window.heading("Sign in")
        # Chromium itself writes every 401 on the console; there has to be nothing else.
        assert all("401" in fault for fault in window.faults), window.faults
        window.faults.clear()


def test_an_agent_that_dies_and_comes_back_is_seen_to(visit: Visiting, estate: Estate) -> None:
    """Without a reload: offline on both pages, counted, and online again."""
    with visit() as window:
        window.open("/")
        window.heading("Fleet")
        offline = window.page.locator(".figure").filter(has_text="Offline")
        list_ = window.page.get_by_role("row").filter(has_text="two")
        expect(list_).to_contain_text("Online")
        expect(offline).to_contain_text("0")
        estate.agents["two"].kill()
        expect(list_).to_contain_text("Offline")
        expect(offline).to_contain_text("1")
        window.page.get_by_role("link", name="two", exact=True).click()
        window.heading("two")
        expect(window.page.locator(".page-head")).to_contain_text("Offline")
        estate.agents["two"].start()
        expect(window.page.locator(".page-head")).to_contain_text("Online")


def test_agents_of_one_vault_are_shown_as_its_nodes(visit: Visiting, estate: Estate) -> None:
    """Without a reload: offline only when all nodes are; a click on the vault lists its nodes."""
    file = estate.plane.data / "control.db"
    with closing(sqlite3.connect(file, timeout=30)) as database, database:
        database.execute(
            "UPDATE agents SET vault_id = (SELECT vault_id FROM agents WHERE vault = 'one')"
            " WHERE vault = 'two'"
        )
    with visit() as window:
        window.open("/")
        window.heading("Fleet")
        card = window.page.get_by_role("group", name="Vaults with several nodes")
        vault = card.get_by_role("row").filter(has_text="two")
        expect(vault).to_contain_text("2 of 2")
        expect(vault).to_contain_text("Online")
        estate.agents["two"].kill()
        expect(vault).to_contain_text("Some nodes")
        expect(vault).to_contain_text("1 of 2")
        vault.get_by_text("1 of 2").click()
        everything = window.page.get_by_role("button", name="All vaults")
        everything.click()
        expect(everything).to_have_count(0)
        estate.agents["two"].start()
        expect(card).to_have_count(0)  # it says a vault of its own again


def test_backups_and_rotations_of_a_vault_are_seen_as_they_are_reported(
    visit: Visiting, estate: Estate
) -> None:
    """Without a reload: in the table, by the filter, and on the page of the agent."""
    file = estate.plane.data / "control.db"

    def report(state: str, proven: int, certificate: bytes) -> None:
        with closing(sqlite3.connect(file, timeout=30)) as database, database:
            database.execute(
                "UPDATE backup_reports SET state = ?, newest = ?, at = ?, proven = ?, count = 14,"
                " rto = 42, certificate = ? WHERE vault = 'one'",
                (state, time.time_ns(), time.time_ns(), proven, certificate),
            )

    def count_rotations(stuck: int) -> None:
        with closing(sqlite3.connect(file, timeout=30)) as database, database:
            database.execute(
                "UPDATE rotation_reports SET policies = 40, unmanaged = 7, overdue = 1, stuck = ?,"
                " rotated_day = 4, irrevocable = 3 WHERE vault = 'one'",
                (stuck,),
            )

    with visit() as window:
        page = window.page
        window.open("/")
        window.heading("Fleet")
        link = page.get_by_role("link", name="one", exact=True)
        one = page.get_by_role("row").filter(has=link)
        expect(one).to_contain_text("Off")
        expect(one).to_contain_text("No policies")
        count_rotations(stuck=2)
        report("failed", 0, bytes(32))
        expect(one).to_contain_text("Failed", timeout=60_000)
        expect(one).to_contain_text("3 stuck")
        expect(page.get_by_text("Rotation debt")).to_be_visible()
        page.get_by_label("Rotations").select_option("stuck")
        expect(one).to_be_visible()
        page.get_by_label("Rotations").select_option("")
        page.get_by_label("Backups").select_option("uncertified")
        expect(one).to_be_visible()
        report("good", time.time_ns(), b"c" * 32)
        expect(one).to_have_count(0, timeout=60_000)
        window.open("/agents/one")
        card = page.get_by_role("region", name="Backups")
        expect(card).to_contain_text("Good")
        expect(card).to_contain_text("14 backups")
        rotations = page.get_by_role("region", name="Rotations")
        expect(rotations).to_contain_text("3 stuck")
        expect(rotations).to_contain_text("40 secrets")
        expect(rotations).to_contain_text("4 in 24 h, 0 in 30 d")
        expect(rotations).to_contain_text("0 active, 3 irrevocable")
        expect(card).to_contain_text("6363636363636363")
        report("late", time.time_ns(), b"c" * 32)
        expect(card).to_contain_text("Late")


def test_a_log_that_contradicts_itself_is_accepted_by_a_person(
    visit: Visiting, estate: Estate
) -> None:
    """An admin sees why and has to confirm; a viewer has no button, and a sound log has none."""
    at = "organizations/acme/agents/one/checkpoint"
    until(lambda: estate.plane.ask("GET", at).status == 200)
    with visit() as window:
        page = window.page
        window.open("/agents/one")
        window.see("Consistent")
        accept = page.get_by_role("button", name="Accept log…")
        expect(accept).to_have_count(0)
        file = estate.plane.data / "control.db"
        with closing(sqlite3.connect(file, timeout=30)) as database, database:
            database.execute("UPDATE witnessed SET fault = 'fork' WHERE vault = 'one'")
        with visit(role="viewer") as other:
            other.open("/agents/one")
            other.see("Fork")
            expect(other.page.get_by_role("button", name="Accept log…")).to_have_count(0)
        window.open("/agents/one")
        accept.click()
        window.see("Accept the audit log of one?")
        assert window.findings() == []
        page.get_by_label("Reason").fill("restored from a backup")
        page.get_by_role("button", name="Accept", exact=True).click()
        window.see("one starts a new witnessed audit log")
        expect(accept).to_have_count(0)


def test_a_cut_is_shown_and_mended(visit: Visiting) -> None:
    """The feed is cut while the page is open: it says so, marks what is old, and comes back."""
    cut = {"now": False}
    feeds: list[WebSocketRoute] = []

    def between(feed: WebSocketRoute) -> None:
        feed.connect_to_server()
        feeds.append(feed)
        if cut["now"]:
            feed.close(code=1012)

    with visit() as window:
        window.page.route_web_socket("**/api/v1/live", between)
        window.open("/")
        window.see("Live")
        cut["now"] = True
        feeds[-1].close(code=1012)
        window.see("Reconnecting")
        window.page.get_by_text("Not live since").wait_for()
        cut["now"] = False
        window.see("Live")
        expect(window.page.locator(".notice.old")).to_have_count(0)


def test_a_session_that_ends_leads_to_the_door(visit: Visiting, estate: Estate) -> None:
    """Ended elsewhere, while the page is open: what it showed is gone at once."""
    with visit(role="viewer") as window:
        window.open("/")
        window.heading("Fleet")
        window.see("Live")
        own = window.session()
        token = estate.plane.people["acme", "viewer"]
        estate.plane.want(204, "DELETE", f"sessions/{own['session']}", token=token)
        window.heading("Sign in")
        assert "two" not in window.page.inner_text("body")
        # what the page was still asking for is refused, which Chromium writes
        window.faults[:] = [fault for fault in window.faults if "401" not in fault]


def test_ten_thousand_agents_are_one_list(visit: Visiting) -> None:
    """Scrolled, sorted, narrowed; the document holds only the rows that are near."""
    with visit(org="platform") as window:
        page = window.page
        window.open("/")
        window.see("No agents yet")
        page.get_by_label("Organization", exact=True).select_option("vast")
        window.see(f"{MANY:,} agents")
        rows = page.locator(".table tbody tr:not(.space)")
        assert rows.count() < 60
        table = page.get_by_role("group", name="Agents")
        table.focus()
        page.keyboard.press("End")
        page.get_by_role("link", name="vault-09999", exact=True).wait_for()
        assert rows.count() < 60
        page.get_by_role("button", name="Agent", exact=True).click()
        page.get_by_role("button", name="Agent", exact=True).click()
        table.focus()
        page.keyboard.press("Home")
        page.get_by_role("link", name="vault-09999", exact=True).wait_for()
        page.get_by_label("Find agents").fill("0777")
        window.see(f"11 of {MANY:,}")


def test_the_keyboard_reaches_everything(visit: Visiting) -> None:
    """Skip link, search, the list, an agent, a dialog that holds the focus and gives it back."""
    with visit() as window:
        page, keys = window.page, window.page.keyboard
        window.open("/")
        window.heading("Fleet")
        expect(page.get_by_role("heading", name="Fleet", exact=True, level=1)).to_be_focused()
        keys.press("/")
        keys.type("one")
        window.see("1 of 2")
        page.get_by_role("group", name="Agents").focus()
        keys.press("ArrowDown")
        expect(page.locator("tr[aria-current=true]")).to_contain_text("one")
        assert window.findings() == []
        keys.press("Enter")
        window.heading("one")
        expect(page.get_by_role("heading", name="one", exact=True, level=1)).to_be_focused()
        lock = page.get_by_role("button", name="Lock…")
        lock.focus()
        keys.press("Enter")
        expect(page.get_by_label("Reason")).to_be_focused()
        assert window.findings() == []
        for _ in range(5):
            keys.press("Tab")
            assert page.evaluate(_IN_DIALOG)
        keys.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(lock).to_be_focused()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(WIDE, "dark"), (NARROW, "light"), (WIDEST, "light")],
    ids=["wide-dark", "narrow-light", "widest-light"],
)
def test_pages_are_for_everybody(visit: Visiting, size: tuple[int, int], scheme: str) -> None:
    """axe-core finds nothing, nothing is wider than the window, the console is silent."""
    with visit(role="owner", size=size, scheme=scheme) as window:
        window.open("/")
        for path, title in PAGES.items():
            window.go(path)
            window.heading(title)
            expect(window.page.locator("main .state[role=status]")).to_have_count(0)
            assert window.findings() == [], path
            assert window.overflow <= 0, path


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"]
)
def test_the_platforms_pages_are_for_everybody(
    visit: Visiting, size: tuple[int, int], scheme: str
) -> None:
    """What super-admins alone see: all tenants, and how many agents each of them has."""
    with visit(org="platform", size=size, scheme=scheme) as window:
        for path, title in {"/": "Fleet", "/organizations": "Organizations"}.items():
            window.open(path)
            window.heading(title)
            window.page.get_by_role("link", name="vast", exact=True).wait_for()
            assert window.findings() == [], path
            assert window.overflow <= 0, path
        window.open("/")
        tenants = window.page.get_by_role("listitem").filter(has_text="online")
        expect(tenants.filter(has_text="vast")).to_have_text(f"vast 0 online{MANY:,}")
        expect(tenants.filter(has_text="acme")).to_have_text("acme 2 online2")
        tenants.get_by_role("link", name="acme").click()
        window.see("2 agents")


def test_the_door_is_for_everybody(visit: Visiting) -> None:
    """The same for who is not signed in."""
    with visit(role=None, size=NARROW) as window:
        window.open("/")
        window.heading("Sign in")
        assert window.findings() == []
        assert window.overflow <= 0
        window.faults = [fault for fault in window.faults if "401" not in fault]


def test_narrow_windows_keep_the_navigation_behind_a_button(visit: Visiting) -> None:
    """It opens, leads somewhere, closes on Escape, and is out of the way before."""
    with visit(size=NARROW) as window:
        window.open("/agents/one")
        window.heading("one")
        pages = window.page.get_by_role("navigation", name="Pages")
        expect(pages).to_be_hidden()
        window.page.get_by_role("button", name="Navigation").click()
        expect(pages).to_be_visible()
        window.page.keyboard.press("Escape")
        expect(pages).to_be_hidden()
        window.page.get_by_role("button", name="Navigation").click()
        pages.get_by_role("link", name="Fleet").click()
        window.heading("Fleet")
        expect(pages).to_be_hidden()


def test_the_theme_is_a_persons_choice(visit: Visiting) -> None:
    """Light in a dark system, kept over a reload from before the first paint on."""
    with visit(scheme="dark") as window:
        window.open("/")
        window.heading("Fleet")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = window.page.evaluate(ground)
        window.page.get_by_role("button", name="Theme: system").click()
        light = window.page.evaluate(ground)
        assert dark != light
        window.page.reload(wait_until="commit")
        window.page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        window.heading("Fleet")
        assert window.page.evaluate(ground) == light


def test_a_role_sees_what_it_may_do(visit: Visiting) -> None:
    """A viewer is offered no lock, no retirement, and no trail."""
    with visit(role="viewer") as window:
        window.open("/agents/one")
        window.heading("one")
        assert window.page.get_by_role("button", name="Lock…").count() == 0
        window.open("/")
        window.heading("Fleet")
        assert window.page.get_by_text("Recent changes").count() == 0


def test_what_is_dangerous_asks_again_who_one_is(visit: Visiting, estate: Estate) -> None:
    """The request waits, and goes on once the password was shown; not shown, it is refused.

    The refusal is made up here, for the server's own comes ten minutes after signing in.
    """
    with visit(role="owner") as window:
        page = window.page
        window.open("/agents/one")
        window.heading("one")
        refusals = {"left": 2}

        def refuse(route: Route) -> None:
            if not refusals["left"]:
                route.fulfill(status=200, json={})
                return
            refusals["left"] -= 1
            body = {"code": "step_up", "message": "show again who you are", "request_id": "r-1"}
            route.fulfill(status=403, json=body)

        page.route("**/agents/one/retire", refuse)
        page.get_by_role("button", name="Retire…").click()
        page.get_by_role("button", name="Retire", exact=True).click()
        page.get_by_role("heading", name="Confirm your identity").wait_for()
        page.keyboard.press("Escape")
        window.see("show again who you are (request r-1)")
        page.get_by_role("button", name="Retire", exact=True).click()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        window.see("one retired")
        assert all("403" in fault for fault in window.faults), window.faults
        window.faults.clear()
