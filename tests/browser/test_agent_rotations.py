"""The agent's pages of rotations in a real browser: real ones, one at a target that is down."""

import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.backups.running import unseal
from tests.browser.conftest import Looking
from tests.browser.lone import looking, tell
from tests.browser.visit import NARROW, PATIENCE, WIDE, Visit

expect.set_options(timeout=PATIENCE)
PROD: Final = ("secret/db/one", "secret/db/two")
DOWN: Final = "secret/hook/down"
GENERATED: Final = {"rotator": "generated", "grace": "0s"}
_LAGS: Final = """
    const real = window.fetch;
    window.fetch = async (url, init) => {
        const found = await real(url, init);
        if (!/v1\\/rotation\\//.test(url)) return found;
        const body = await found.json();
        body.rotations[0].adoption =
            {state: "waiting", laggards: ["web-1", "web-2"], fetched: 1, reason: ""};
        return new Response(JSON.stringify(body));
    };
"""


class Target(ThreadingHTTPServer):
    """A target behind a webhook. It answers with `status`."""

    daemon_threads = True
    status = 204

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Whatever the step is."""
        assert isinstance(self.server, Target)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nowhere."""


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """On loopback."""
    with Target(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def agent(target: Target) -> Iterator[Agent]:
    """With secrets that are rotated here, and at the target."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "web": True, "workers": 1}
    config: dict[str, Any] = {"server": server, "rotation": {"webhooks": [target.origin]}}
    with own_folder() as folder, running(served_agent(folder, config)) as made:
        unseal(made)
        tell(made, "POST", "system/mounts/secret", {"version": 2})
        tell(made, "POST", "secrets", {"name": "secret/key", "value": {"signing_key": "k" * 32}})
        for name in (*PROD, "secret/db/plain", DOWN):
            tags = ["env=prod"] if name in PROD else []
            body = {"name": name, "value": {"password": "old"}, "tags": tags}
            tell(made, "POST", "secrets", body)
        for name in PROD:
            tell(made, "PUT", f"rotation/{name}", GENERATED | {"interval": "30d"})
        hook = {
            "rotator": "webhook",
            "config": {"url": target.origin},
            "connection": "secret/key",
            "grace": "0s",
            "retry": {"attempts": 1},
        }
        tell(made, "PUT", f"rotation/{DOWN}", hook)
        yield made


def press(visit: Visit, name: str | re.Pattern[str]) -> None:
    """The button of this name."""
    exact = isinstance(name, str)
    visit.page.get_by_role("button", name=name, exact=exact).click()


def confirm(visit: Visit, name: str) -> None:
    """The dialog's button of this name; then it is gone."""
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def of_secret(name: str) -> str:
    """The page of its rotations."""
    return f"/rotations/one?name={name}"


def rotation(agent: Agent, name: str) -> Any:
    """How it is rotated."""
    return tell(agent, "GET", f"rotation/{name}")


def test_a_secret_gets_a_policy_and_is_rotated(look: Looking, agent: Agent) -> None:
    """By a form that shows each error at its field; then it is rotated, and followed to the end."""
    name = "secret/db/plain"
    with look() as window:
        page = window.page
        window.open(of_secret(name))
        window.heading(name)
        window.see("No rotation policy")
        expect(page.get_by_role("button", name="Rotate now…")).to_have_count(0)
        press(window, "Set policy…")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Rotator", exact=True).select_option("generated")
        settings = dialog.get_by_label("Settings of the rotator")
        grace = dialog.get_by_label("Grace period")

        def is_refused(field: Any, text: str) -> None:
            press(window, "Save policy")
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(field).to_be_focused()
            expect(field).to_have_accessible_description(re.compile(text))
            expect(dialog.get_by_role("status")).to_have_count(0)

        settings.fill("{length}")
        is_refused(settings, "Not JSON")
        settings.fill('{"length": 1}')
        is_refused(settings, "minimums add up")
        settings.fill('{"length": 24}')
        grace.fill("soon")
        is_refused(grace, "not a duration")
        grace.fill("0s")
        dialog.get_by_label("Connection").fill("secret/none")
        is_refused(dialog.get_by_label("Connection"), "not there")
        dialog.get_by_label("Connection").fill("")
        dialog.get_by_label("Schedule", exact=True).select_option("interval")
        dialog.get_by_label("Interval").fill("45d")
        assert window.findings("dialog") == []
        confirm(window, "Save policy")
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
        window.see("Every 45d")
        press(window, "Rotate now…")
        confirm(window, "Rotate")
        expect(page.locator(".page-head")).to_contain_text("Retired")
        assert window.findings() == []
        press(window, "Edit policy…")
        confirm(window, "Save policy")
        assert rotation(agent, name)["policy"]["interval"] == "1080h0m0s"
        press(window, "Remove policy…")
        confirm(window, "Remove")
        window.see("No rotation policy")
    assert len(tell(agent, "GET", f"secrets/{name}")["value"]["password"]) == 24


def test_a_policy_shows_read_limit_adoption_window_and_channels(
    look: Looking, agent: Agent
) -> None:
    """Set, shown, kept by an edit of something else, refused at its field, and taken away."""
    name = "secret/db/plain"
    with look() as window:
        page = window.page
        window.open(of_secret(name))
        press(window, "Set policy…")
        dialog = page.get_by_role("dialog")
        reads, channels = (dialog.get_by_label(f) for f in ("Maximum reads", "Notify channels"))
        adoption = dialog.get_by_label("Adoption window")
        expect(dialog.get_by_label("Schedule is on")).to_have_count(0)
        expect(dialog.get_by_role("group", name="Notify of")).to_have_count(0)
        reads.fill("5000")
        expect(dialog.get_by_label("Schedule is on")).to_be_checked()
        channels.fill("on call\nteam b")
        events = dialog.get_by_role("group", name="Notify of").get_by_role("checkbox")
        for event in events.all()[:3]:
            event.uncheck()
        assert window.findings("dialog") == []
        press(window, "Save policy")
        expect(events.first).to_be_focused()
        expect(events.first).to_have_attribute("aria-invalid", "true")
        expect(events.first).to_have_accessible_description(re.compile("no event is chosen"))
        events.nth(1).check()
        events.last.check()
        adoption.fill("90d")
        press(window, "Save policy")
        expect(adoption).to_be_focused()
        expect(adoption).to_have_attribute("aria-invalid", "true")
        adoption.fill("7d")
        confirm(window, "Save policy")
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
        shown = page.get_by_role("region", name="Policy", exact=True)
        expect(shown).to_contain_text("After 5,000 reads")
        expect(shown).to_contain_text("on call, team b: stuck, rotated")
        press(window, "Edit policy…")
        expect(channels).to_have_value("on call\nteam b")
        dialog.get_by_label("Grace period").fill("2h")
        confirm(window, "Save policy")
        kept = rotation(agent, name)["policy"]
        assert (kept["max_reads"], kept["adoption_window"]) == (5000, "168h0m0s")
        assert kept["grace"] == "2h0m0s"
        assert kept["notify"] == {"channels": ["on call", "team b"], "events": ["stuck", "rotated"]}
        press(window, "Edit policy…")
        channels.fill("")
        adoption.fill("0s")
        confirm(window, "Save policy")
        expect(shown).to_contain_text("Nobody")
        expect(shown).to_contain_text("never ends early")
    assert rotation(agent, name)["policy"]["notify"] is None


def test_a_stuck_rotation_is_seen_and_tried_again(
    look: Looking, agent: Agent, target: Target
) -> None:
    """The page says why; once the target is up, one button ends it."""
    target.status = 503
    with look() as window:
        page = window.page
        window.open(of_secret(DOWN))
        press(window, "Rotate now…")
        confirm(window, "Rotate")
        expect(page.locator(".page-head")).to_contain_text("Stuck")
        latest = page.get_by_role("region", name="Latest rotation")
        expect(latest).to_contain_text("Mend the cause")
        expect(latest).to_contain_text("503")
        assert window.findings() == []
        window.go("/rotations")
        stuck = page.get_by_role("group", name="Stuck", exact=True)
        expect(stuck.get_by_role("row").nth(1)).to_contain_text(DOWN)
        assert window.findings() == []
        stuck.get_by_role("link", name=DOWN).click()
        window.heading(DOWN)
        target.status = 204
        press(window, "Try step again")
        expect(page.locator(".page-head")).to_contain_text("Undone")
    assert tell(agent, "GET", f"secrets/{DOWN}")["value"] == {"password": "old"}


def test_a_stuck_rotation_is_given_up(look: Looking, agent: Agent, target: Target) -> None:
    """After a question; the page says what may be left at the target."""
    target.status = 503
    with look() as window:
        window.open(of_secret(DOWN))
        press(window, "Rotate now…")
        confirm(window, "Rotate")
        head = window.page.locator(".page-head")
        expect(head).to_contain_text("Stuck")
        press(window, "Give up rotation…")
        confirm(window, "Give up")
        expect(head).to_contain_text("Undone")
        latest = window.page.get_by_role("region", name="Latest rotation")
        expect(latest).to_contain_text("given up by")
        expect(latest).to_contain_text("the target may take a new value")
        expect(window.page.get_by_role("button", name="Rotate now…")).to_be_visible()
        assert window.findings() == []
    assert tell(agent, "GET", f"secrets/{DOWN}")["value"] == {"password": "old"}


def test_one_that_waits_is_undone(look: Looking, agent: Agent, target: Target) -> None:
    """As long as its value is not current."""
    policy = rotation(agent, DOWN)["policy"]
    tell(agent, "PUT", f"rotation/{DOWN}", policy | {"retry": {"base": "1h"}})
    target.status = 503
    with look() as window:
        window.open(of_secret(DOWN))
        press(window, "Rotate now…")
        confirm(window, "Rotate")
        latest = window.page.get_by_role("region", name="Latest rotation")
        expect(latest).to_contain_text("Failed attempts")
        target.status = 204
        press(window, "Undo rotation…")
        confirm(window, "Undo")
        expect(window.page.locator(".page-head")).to_contain_text("Undone")
        expect(latest).to_contain_text("undone by")


def test_who_has_not_fetched_the_new_version_is_named(look: Looking, agent: Agent) -> None:
    """As the agent says."""
    name = "secret/db/plain"
    tell(agent, "PUT", f"rotation/{name}", GENERATED | {"grace": "1h"})
    tell(agent, "POST", f"rotate/{name}")
    with look() as window:
        window.page.add_init_script(_LAGS)
        window.open(of_secret(name))
        shown = window.page.get_by_role("region", name="Adoption")
        expect(shown).to_contain_text("1 application fetched the new version, 2 did not yet.")
        expect(shown).to_contain_text("web-2")
        assert window.findings("main") == []


def test_secrets_are_rotated_by_tag(look: Looking, agent: Agent) -> None:
    """After a preview; what is due and what ran is shown by tag, too."""
    numbers = [len(rotation(agent, name)["rotations"]) for name in PROD]
    with look() as window:
        page = window.page
        window.open("/rotations?tags=env%3Dprod")
        window.heading("Rotations")
        due = page.get_by_role("group", name="Due in the next 30 days")
        expect(due.get_by_role("row")).to_have_count(1 + len(PROD))
        press(window, "Rotate by tag…")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Tags")).to_have_value("env=prod")
        dialog.get_by_label("Tags").fill("")
        press(window, "Preview")
        expect(dialog.get_by_label("Tags")).to_have_accessible_description(re.compile("give a"))
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]
        dialog.get_by_label("Tags").fill("env=prod")
        assert window.findings("dialog") == []
        confirm(window, "Preview")
        preview = page.get_by_role("region", name="Preview", exact=True)
        expect(preview).to_contain_text("2 secrets can be rotated")
        assert [len(rotation(agent, name)["rotations"]) for name in PROD] == numbers
        press(window, "Rotate 2 secrets")
        done = page.get_by_role("region", name="Rotation of secrets", exact=True)
        expect(done).to_contain_text("2 rotations begun")
        assert window.findings() == []
        listed = page.get_by_role("group", name="All rotations")
        for name in PROD:
            row = listed.get_by_role("row").filter(has_text=name).first
            expect(row).to_contain_text("Retired")


def test_all_are_paused_and_resumed(look: Looking, agent: Agent) -> None:
    """With a confirmation, and a notice for as long as they are."""
    with look() as window:
        window.open("/rotations")
        press(window, "Pause all…")
        confirm(window, "Pause")
        expect(window.page.locator(".page-head")).to_contain_text("Paused")
        assert tell(agent, "GET", "rotations/overview")["paused"]
        press(window, "Resume all")
        expect(window.page.get_by_role("button", name="Pause all…")).to_be_visible()
    assert not tell(agent, "GET", "rotations/overview")["paused"]


def test_only_what_the_caller_may_do_is_offered(chromium: Browser, agent: Agent) -> None:
    """Who may see one secret sees its rotations, and cannot change, begin or pause any."""
    rule = {"effect": "allow", "paths": [PROD[0]], "capabilities": ["read_metadata"]}
    tell(agent, "PUT", "policies/seeing", {"rules": [rule]})
    token = tell(agent, "POST", "tokens", {"policies": ["seeing"]})["token"]
    with looking(chromium, agent, credential=token) as window:
        page = window.page
        window.open(of_secret(PROD[0]))
        window.heading(PROD[0])
        expect(page.get_by_role("region", name="Policy")).to_contain_text("Every 30d")
        assert _buttons(window, "Rotate now…", "Edit policy…", "Remove policy…") == []
        window.open("/rotations")
        due = page.get_by_role("group", name="Due in the next 30 days")
        expect(due.get_by_role("row")).to_have_count(2)
        expect(page.get_by_role("button", name="Refresh")).to_be_visible()
        assert _buttons(window, "Pause all…", "Resume all") == []
        press(window, "Rotate by tag…")
        page.get_by_role("dialog").get_by_label("Folder").fill("secret/db/")
        confirm(window, "Preview")
        preview = page.get_by_role("region", name="Preview", exact=True)
        expect(preview).to_contain_text("0 secrets can be rotated, 1 cannot")
        window.open(of_secret(PROD[1]))
        window.see("Permission denied")
        window.faults[:] = [fault for fault in window.faults if "403" not in fault]


def _buttons(window: Visit, *names: str) -> list[str]:
    """Which of them are there, once all that is asked for has come."""
    window.page.wait_for_load_state("networkidle")
    found: Callable[[str], Any] = lambda name: window.page.get_by_role("button", name=name)  # noqa: E731
    return [name for name in names if found(name).count()]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_it_is_for_everybody(look: Looking, size: tuple[int, int]) -> None:
    """Light and dark, wide and narrow, by the keyboard; axe-core has no finding."""
    with look(size=size, scheme="dark" if size == NARROW else "light") as window:
        for path, title, buttons in (
            ("/rotations", "Rotations", ("Rotate by tag…", "Pause all…")),
            (of_secret(PROD[0]), PROD[0], ("Edit policy…", "Rotate now…", "Remove policy…")),
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
