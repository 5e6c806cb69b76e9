"""The agent's pages of leases in a real browser, over users of a real Redis."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.backups.running import unseal
from tests.browser.conftest import Looking
from tests.browser.lone import looking, tell
from tests.browser.visit import NARROW, PATIENCE, WIDE, Visit
from tests.contract.rotation.targets import ADMINISTRATOR, RedisTarget, run_target

expect.set_options(timeout=PATIENCE)
ROLES: Final = ("cache", "queue", "batch", "batched")
FOLDER: Final = "database/creds/"
RULES: Final = ["~{{name}}:*", "+@read", "+acl|whoami"]


@pytest.fixture(scope="module")
def target() -> Iterator[RedisTarget]:
    """A Redis that makes users."""
    with own_folder() as folder, run_target("redis", folder) as make:
        yield make()


@pytest.fixture(scope="module")
def agent(target: RedisTarget) -> Iterator[Agent]:
    """With a role for each of `ROLES`; a user that cannot be dropped once is irrevocable."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "web": True, "workers": 1}
    config: dict[str, Any] = {"server": server, "dynamic": {"revoke_attempts": 1}}
    with own_folder() as folder, running(served_agent(folder, config)) as made:
        unseal(made)
        tell(made, "POST", "system/mounts/database", {"type": "database"})
        connection = {"kind": "redis", "value": dict(target.connection())}
        tell(made, "PUT", "database-connections/database/main", connection)
        role = {"connection": "main", "config": {"rules": RULES}, "max_ttl": "4h"}
        for name in ROLES:
            tell(made, "PUT", f"database-roles/database/{name}", role)
        yield made


def issue(agent: Agent, role: str) -> Any:
    """New credentials: `value` and `lease`."""
    return tell(agent, "POST", f"credentials/{FOLDER.replace('creds/', '')}{role}", {})


def lease(agent: Agent, id_: str) -> Any:
    """As the agent says it is."""
    return tell(agent, "GET", f"leases/{id_}")


def of_lease(id_: str) -> str:
    """Its page."""
    return f"/leases/one?id={id_}"


def press(visit: Visit, name: str) -> None:
    """The button of this name."""
    visit.page.get_by_role("button", name=name, exact=True).click()


def confirm(visit: Visit, name: str) -> None:
    """The dialog's button of this name; then it is gone."""
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def head(window: Visit) -> Locator:
    """The title, with the state beside it, and the actions."""
    return window.page.locator(".page-head")


def test_a_lease_is_found_renewed_and_revoked(
    look: Looking, agent: Agent, target: RedisTarget
) -> None:
    """By its folder; until when is shown, the password nowhere."""
    issued, other = issue(agent, "cache"), issue(agent, "queue")
    id_, username = issued["lease"]["id"], issued["lease"]["username"]
    with look() as window:
        page = window.page
        window.open("/leases")
        window.heading("Leases")
        listed = page.get_by_role("group", name="All leases")
        expect(listed).to_contain_text(other["lease"]["id"])
        expect(page.get_by_role("button", name="Revoke all in folder…")).to_have_count(0)
        folders = page.get_by_role("navigation", name="Folders").get_by_role("link")
        folders.filter(has_text=f"{FOLDER}cache/").click()
        expect(listed).not_to_contain_text(other["lease"]["id"].rpartition("/")[2])
        row = listed.get_by_role("row").filter(has_text=id_.rpartition("/")[2])
        for text in ("Active", "root", username, re.compile(r"in \d+ (min|h)")):
            expect(row).to_contain_text(text)
        row.get_by_role("link").click()
        window.heading(id_)
        facts = page.get_by_role("region", name="About")
        for text in (username, "main", "root", "Never"):
            expect(facts).to_contain_text(text)
        press(window, "Renew…")
        duration = page.get_by_role("dialog").get_by_label("Duration")
        duration.fill("soon")
        press(window, "Renew")
        expect(duration).to_be_focused()
        expect(duration).to_have_accessible_description(re.compile("not a duration"))
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
        duration.fill("100h")
        confirm(window, "Renew")
        window.see("Lease renewed: it ends earlier: its role allows no longer")
        expect(facts).not_to_contain_text("Never")
        renewed = lease(agent, id_)
        assert renewed["expires_at"] == renewed["max_expires_at"]
        assert issued["value"]["password"] not in page.content()
        press(window, "Revoke…")
        page.keyboard.press("Escape")
        assert lease(agent, id_)["state"] == "active"
        press(window, "Revoke…")
        confirm(window, "Revoke")
        expect(head(window)).to_contain_text("Revoked")
        expect(page.get_by_role("button", name="Renew…")).to_have_count(0)
        expect(page.get_by_role("button", name="Revoke…")).to_have_count(0)
    assert not target.accepts(issued["value"])
    assert target.accepts(other["value"])


def test_an_irrevocable_lease_is_marked_and_ended(
    look: Looking, agent: Agent, target: RedisTarget
) -> None:
    """The page says why its user stays; it is dropped once that is mended, or left behind."""
    mended, left = issue(agent, "queue"), issue(agent, "queue")
    target.server.command("ACL", "SETUSER", ADMINISTRATOR, "off")
    try:
        with look() as window:
            page = window.page
            for one in (left, mended):
                window.open(of_lease(one["lease"]["id"]))
                expect(page.get_by_role("button", name="Leave user behind…")).to_have_count(0)
                press(window, "Revoke…")
                confirm(window, "Revoke")
                expect(head(window)).to_contain_text("Irrevocable")
                window.page.get_by_text("The user could not be dropped: ").wait_for()
            window.open("/leases")
            marked = page.get_by_role("group", name="Irrevocable", exact=True)
            expect(marked.get_by_role("row")).to_have_count(3)
            assert window.findings() == []
            marked.get_by_role("link", name=left["lease"]["id"]).click()
            press(window, "Leave user behind…")
            confirm(window, "End lease")
            expect(head(window)).to_contain_text("Revoked")
            target.server.command("ACL", "SETUSER", ADMINISTRATOR, "on")
            window.open(of_lease(mended["lease"]["id"]))
            press(window, "Revoke…")
            confirm(window, "Revoke")
            expect(head(window)).to_contain_text("Revoked")
    finally:
        target.server.command("ACL", "SETUSER", ADMINISTRATOR, "on")
    assert target.accepts(left["value"])
    assert not target.accepts(mended["value"])


def test_all_leases_of_a_folder_are_revoked(look: Looking, agent: Agent) -> None:
    """After a question that counts them; those of a role whose name begins so stay."""
    ended = [issue(agent, "batch")["lease"]["id"] for _ in range(2)]
    kept = issue(agent, "batched")["lease"]["id"]
    with look() as window:
        window.open(f"/leases?prefix={FOLDER}batch")
        press(window, "Revoke all in folder…")
        dialog = window.page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"{FOLDER}batch/")
        expect(dialog.get_by_role("status")).to_have_text("2 leases that you can see.")
        assert window.findings("dialog") == []
        assert {lease(agent, id_)["state"] for id_ in ended} == {"active"}
        confirm(window, "Revoke all")
        window.see("2 leases revoked")
    assert {lease(agent, id_)["state"] for id_ in ended} <= {"revoking", "revoked"}
    assert lease(agent, kept)["state"] == "active"


def test_only_what_the_caller_may_do_is_offered(chromium: Browser, agent: Agent) -> None:
    """Who may look up the leases of one role sees those, and can renew none and end none."""
    seen, hidden = issue(agent, "queue")["lease"]["id"], issue(agent, "batched")["lease"]["id"]
    paths = [f"sys/leases/lookup/{FOLDER}queue/*"]
    rules = [{"effect": "allow", "paths": paths, "capabilities": ["update"]}]
    tell(agent, "PUT", "policies/looking", {"rules": rules})
    token = tell(agent, "POST", "tokens", {"policies": ["looking"]})["token"]
    with looking(chromium, agent, credential=token) as window:
        page = window.page
        window.open(f"/leases?prefix={FOLDER}")
        listed = page.get_by_role("group", name="All leases")
        expect(listed).to_contain_text(seen.removeprefix(FOLDER))
        expect(listed).not_to_contain_text(hidden.removeprefix(FOLDER))
        page.wait_for_load_state("networkidle")
        expect(page.get_by_role("button", name="Revoke all in folder…")).to_have_count(0)
        listed.get_by_role("link", name=seen.removeprefix(FOLDER)).click()
        window.heading(seen)
        page.wait_for_load_state("networkidle")
        for name in ("Renew…", "Revoke…", "Leave user behind…"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        window.open(of_lease(hidden))
        window.see("Permission denied")
        window.faults[:] = [fault for fault in window.faults if "403" not in fault]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_it_is_for_everybody(look: Looking, agent: Agent, size: tuple[int, int]) -> None:
    """Light and dark, wide and narrow, by the keyboard; axe-core has no finding."""
    id_ = issue(agent, "batched")["lease"]["id"]
    with look(size=size, scheme="dark" if size == NARROW else "light") as window:
        for path, title, buttons in (
            (f"/leases?prefix={FOLDER}", "Leases", ("Revoke all in folder…",)),
            (of_lease(id_), id_, ("Renew…", "Revoke…")),
        ):
            window.open(path)
            window.heading(title)
            window.page.get_by_role("button", name=buttons[0]).wait_for()
            assert window.overflow <= 0
            assert window.findings() == []
            for name in buttons:
                button = window.page.get_by_role("button", name=name)
                button.focus()
                window.page.keyboard.press("Enter")
                dialog = window.page.get_by_role("dialog")
                expect(dialog).to_be_visible()
                assert window.findings("dialog") == []
                window.page.keyboard.press("Escape")
                expect(dialog).to_have_count(0)
                expect(button).to_be_focused()
        window.open(of_lease(f"{FOLDER}none/1"))
        window.see("Lease not found")
        window.faults[:] = [fault for fault in window.faults if "404" not in fault]
