"""Agents are let in, filed, asked and locked in a real browser; they are real."""

import subprocess
from pathlib import Path

from playwright.sync_api import expect

from tests.acceptance.agent import dev_agent
from tests.acceptance.command import FREEHOLD, freehold
from tests.browser.conftest import Visiting
from tests.browser.estate import BEAT, Estate
from tests.browser.visit import PATIENCE, Visit

expect.set_options(timeout=PATIENCE)


def press(window: Visit, name: str) -> None:
    """A button of that name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def test_a_token_lets_an_agent_in(visit: Visiting, estate: Estate, tmp_path: Path) -> None:
    """Shown once with the command; live until it is there; then filed, asked, locked, retired."""
    agent = dev_agent(tmp_path, workers=1)
    agent.command += BEAT
    with visit(role="owner") as window:
        page = window.page
        window.open("/enrolment")
        page.get_by_label("Agent", exact=True).fill("three")
        press(window, "Create token")
        window.see("Waiting for agent")
        assert window.findings() == []
        token = page.get_by_label("Token", exact=True).inner_text().strip()
        command = page.get_by_label("Command", exact=True).inner_text()
        pin = command.partition("--pin ")[2].split()[0]
        done = freehold(
            "agent", "enrol", "--data-dir", str(agent.data), "--token", token,
            "--control", f"https://127.0.0.1:{estate.plane.link_port}", "--pin", pin,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        agent.start()
        try:
            expect(page.get_by_role("region", name="Token for three")).to_contain_text("Online")
            press(window, "Done")
            assert token not in page.inner_text("body")
            expect(page.get_by_role("row").filter(has_text="three")).to_contain_text("Used")

            window.go("/agents/three?tab=commands")
            window.heading("three")
            press(window, "Edit tags…")
            page.get_by_label("Tags", exact=True).fill("eu prod")
            press(window, "Save")
            page.get_by_label("Command", exact=True).select_option("send_checkpoint")
            press(window, "Send command")
            row = page.get_by_role("row").filter(has_text="Send checkpoint")
            expect(row).to_contain_text("Done")
            window.go("/agents/three")
            expect(page.get_by_role("region", name="Agent", exact=True)).to_contain_text("prod")

            press(window, "Lock…")
            press(window, "Lock")
            expect(page.locator(".page-head")).to_contain_text("Locked")
            page.get_by_role("link", name="Enrol again…").click()
            window.heading("Enrolment")
            expect(page.get_by_label("Agent", exact=True)).to_have_value("three")
            expect(page.get_by_label("If the name is taken")).to_have_value("yes")
            window.go("/agents/three")
            press(window, "Retire…")
            press(window, "Retire")
            expect(page.locator(".page-head")).to_contain_text("Retired")
        finally:
            agent.stop()


def test_who_asks_to_join_waits_for_a_person(
    visit: Visiting, estate: Estate, tmp_path: Path
) -> None:
    """By itself in the list; not by a wrong fingerprint; turned away; let in by the right one."""
    minted = estate.plane.want(
        201, "POST", "organizations/acme/enrolment-tokens", {"vault": "unused"}
    )
    command = [
        FREEHOLD, "agent", "enrol", "--join", "--data-dir", str(tmp_path), "--pin", minted["pin"],
        "--control", f"https://127.0.0.1:{estate.plane.link_port}",
    ]  # fmt: skip
    with visit(org="platform") as window:  # who named no organization is for the platform
        page = window.page
        window.open("/enrolment")
        page.get_by_text("No join requests. To send one from an agent, run").wait_for()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as asking:
            press(window, "Approve…")
            page.get_by_label("Fingerprint").fill("0000-0000-0000-0000-0000")
            page.get_by_role("textbox", name="Name").fill("stranger")
            press(window, "Approve")
            page.get_by_role("dialog").locator(".notice").wait_for()
            assert window.findings() == []
            page.keyboard.press("Escape")
            press(window, "Reject…")
            press(window, "Reject")
            window.see("Request rejected")
            assert asking.wait(30) != 0
        command[command.index(str(tmp_path))] = str(tmp_path / "again")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as asking:
            assert asking.stdout is not None
            told = next(line for line in asking.stdout if b"fingerprint" in line).decode()
            press(window, "Approve…")
            page.get_by_label("Fingerprint").fill(told.split()[-1])
            page.get_by_role("textbox", name="Name").fill("stranger")
            press(window, "Approve")
            window.see("stranger approved")
            assert asking.wait(30) == 0
        window.go("/agents/stranger")
        expect(page.get_by_role("region", name="Agent", exact=True)).to_contain_text("Active")
        press(window, "Retire…")
        press(window, "Retire")
        expect(page.locator(".page-head")).to_contain_text("Retired")
        assert all("40" in fault for fault in window.faults), window.faults
        window.faults.clear()
