"""The agent's page of backups in a real browser, over a real agent with two destinations."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.backups.running import back_up, unseal
from tests.browser.conftest import Looking
from tests.browser.lone import looking, tell
from tests.browser.visit import NARROW, PATIENCE, WIDE, Visit

expect.set_options(timeout=PATIENCE)
_GOES_ON = """
    const real = window.fetch;
    let cancelled = false;
    window.fetch = async (url, init) => {
        cancelled ||= init?.method === "DELETE";
        const found = await real(url, init);
        const isRun = init?.method === "GET" && /backups\\/runs\\/[^/]+$/.test(url);
        if (cancelled || !isRun) return found;
        const going = {outcome: "running", phase: "Reading rows", ended_at: null};
        return new Response(JSON.stringify({...(await found.json()), ...going}));
    };
"""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """Without a schedule, with secrets and a backup of them."""
    with own_folder() as folder:
        local = [
            {"type": "local", "name": name, "path": str(folder / name)} for name in ("near", "far")
        ]
        server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "web": True, "workers": 1}
        config: dict[str, Any] = {"server": server, "backup": {"destinations": local}}
        with running(served_agent(folder, config)) as made:
            unseal(made)
            tell(made, "POST", "system/mounts/secret", {"version": 2})
            for name in ("secret/app/gone", "secret/app/live"):
                tell(made, "POST", "secrets", {"name": name, "value": "old"})
            back_up(made, destinations=["near"])
            yield made


def press(visit: Visit, name: str) -> None:
    """The button of this name."""
    visit.page.get_by_role("button", name=name, exact=True).click()


def confirm(visit: Visit, name: str) -> None:
    """The dialog's button of this name; then it is gone."""
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def open_newest(visit: Visit) -> None:
    """The newest backup's details."""
    visit.open("/backups")
    visit.heading("Backups")
    row = visit.page.get_by_role("group", name="Backups", exact=True).get_by_role("row").nth(1)
    row.click()
    expect(visit.page.get_by_role("button", name="Restore secrets…")).to_be_enabled()


def test_a_backup_is_made_seen_validated_and_deleted(look: Looking, agent: Agent) -> None:
    """Each by a button, with its run; what is deleted is gone after a confirmation alone."""
    before = len(tell(agent, "GET", "backups?destination=far")["backups"])
    with look() as window:
        page = window.page
        window.open("/backups")
        window.heading("Backups")
        window.see("near")
        press(window, "Back up now…")
        page.get_by_label("Destination", exact=True).last.select_option("far")
        page.get_by_label("Full backup", exact=False).check()
        confirm(window, "Back up")
        run = page.get_by_role("region", name="Backup run", exact=True)
        expect(run).to_contain_text("Succeeded")
        listed = page.get_by_role("group", name="Backups", exact=True)
        expect(listed).to_contain_text("far")
        listed.get_by_role("row").filter(has_text="far").first.click()
        press(window, "Validate")
        expect(page.get_by_role("region", name="Validation", exact=True)).to_contain_text(
            "Succeeded"
        )
        assert window.findings() == []
        press(window, "Delete backup…")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert len(tell(agent, "GET", "backups?destination=far")["backups"]) == before + 1
        press(window, "Delete backup…")
        confirm(window, "Delete")
        expect(listed.get_by_role("row").filter(has_text="far")).to_have_count(before)
    assert len(tell(agent, "GET", "backups?destination=far")["backups"]) == before


def test_secrets_come_back_after_a_dry_run(look: Looking, agent: Agent) -> None:
    """The dry run writes nothing and names each; then one button writes what it said."""
    agent.call("DELETE", "/v1/secret/metadata/app/gone")
    with look() as window:
        page = window.page
        open_newest(window)
        press(window, "Restore secrets…")
        page.get_by_label("Names", exact=True).fill("secret/app/\nsecret/none")
        confirm(window, "Start dry run")
        tried = page.get_by_role("region", name="Dry run of a restore")
        expect(tried.get_by_role("row").filter(has_text="secret/app/gone")).to_contain_text(
            "Create"
        )
        expect(tried.get_by_role("row").filter(has_text="secret/app/live")).to_contain_text("Keep")
        expect(tried.get_by_role("row").filter(has_text="secret/none")).to_contain_text("Not found")
        assert agent.call("GET", "/api/v1/secrets/secret/app/gone").status == 404
        assert window.findings() == []
        press(window, "Write 1 secret")
        done = page.get_by_role("region", name="Restore of secrets", exact=True)
        expect(done.get_by_role("row").filter(has_text="secret/app/gone")).to_contain_text(
            "Created"
        )
        expect(done).to_contain_text("1 secret written.")
    assert tell(agent, "GET", "secrets/secret/app/gone")["value"] == "old"


def test_a_refusal_is_shown_and_the_dialog_stays_open(look: Looking) -> None:
    """A name that is none."""
    with look() as window:
        open_newest(window)
        press(window, "Restore secrets…")
        window.page.get_by_label("Names", exact=True).fill("secret/../etc")
        press(window, "Start dry run")
        dialog = window.page.get_by_role("dialog")
        expect(dialog).to_contain_text("invalid path")
        window.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]


def test_a_run_is_cancelled(look: Looking) -> None:
    """While it goes on, for the page: until it is cancelled."""
    with look() as window:
        page = window.page
        page.add_init_script(_GOES_ON)
        window.open("/backups")
        window.heading("Backups")
        press(window, "Back up now…")
        confirm(window, "Back up")
        expect(page.get_by_role("progressbar", name="Reading rows")).to_be_visible()
        press(window, "Cancel run")
        expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
        expect(page.get_by_role("region", name="Backup run", exact=True)).to_contain_text(
            re.compile("Cancelled|Succeeded")  # it may have ended before it was cancelled
        )


def test_without_rights_it_says_so(chromium: Browser, agent: Agent) -> None:
    """And shows no backup."""
    made = tell(agent, "POST", "tokens", {"policies": ["default"]})
    with looking(chromium, agent, credential=made["token"]) as window:
        window.open("/backups")
        window.heading("Backups")
        window.see("Permission denied")
        window.faults[:] = [fault for fault in window.faults if "403" not in fault]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_it_is_for_everybody(look: Looking, size: tuple[int, int]) -> None:
    """Light and dark, wide and narrow, by the keyboard; axe-core has no finding."""
    with look(size=size, scheme="dark" if size == NARROW else "light") as window:
        open_newest(window)
        assert window.overflow <= 0
        assert window.findings() == []
        for name in ("Back up now…", "Restore secrets…", "Delete backup…"):
            button = window.page.get_by_role("button", name=name)
            button.focus()
            window.page.keyboard.press("Enter")
            dialog = window.page.get_by_role("dialog")
            expect(dialog).to_be_visible()
            assert window.findings("dialog") == []
            window.page.keyboard.press("Escape")
            expect(dialog).to_have_count(0)
            expect(button).to_be_focused()


def test_what_is_proven_is_shown(chromium: Browser) -> None:
    """By the schedule: the first backup is made and restored as a test; the state is good."""
    with own_folder() as folder:
        server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "web": True, "workers": 1}
        local = {"type": "local", "name": "near", "path": str(folder / "near")}
        plan = {"enabled": True, "schedule": "0 0 1 1 *", "destinations": [local]}
        with running(served_agent(folder, {"server": server, "backup": plan})) as made:
            unseal(made)
            limit = time.monotonic() + PATIENCE / 1000
            while not tell(made, "GET", "backups/schedule")["proven_at"]:
                assert time.monotonic() < limit
            with looking(chromium, made) as window:
                open_newest(window)
                window.see("Restore time (RTO)")
                listed = window.page.get_by_role("group", name="Backups", exact=True)
                expect(listed.get_by_role("row").nth(1)).to_contain_text("RTO")
                places = window.page.get_by_role("group", name="Destinations", exact=True)
                expect(places.get_by_role("row").nth(1)).to_contain_text("Good")
                expect(window.page.locator(".page-head")).to_contain_text("Good")
                assert window.findings() == []


def test_off_says_how_to_switch_it_on(chromium: Browser) -> None:
    """An agent without a destination."""
    with own_folder() as folder:
        server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "web": True, "workers": 1}
        with running(served_agent(folder, {"server": server})) as made:
            unseal(made)
            with looking(chromium, made) as window:
                window.open("/backups")
                window.see("This agent has no destination for backups")
                expect(window.page.get_by_role("region", name="Configuration")).to_contain_text(
                    "destinations:"
                )
                assert window.findings() == []
