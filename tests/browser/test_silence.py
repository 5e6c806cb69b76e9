"""A server that hangs is not shown as live: its process is stopped while a page is open."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.agent import Agent, own_folder, running
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.workers.fleet import workers_of
from tests.browser.estate import Estate
from tests.browser.lone import lone, looking
from tests.browser.visit import PATIENCE, Visit, visiting

STATED = 15.0  # seconds of silence until the page says so (docs/spec/live.md)
BUSY = 15.0  # more, on a machine that has other work

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def lonely_plane() -> Iterator[Estate]:
    """A control plane of its own: the one of all tests has agents that would miss it."""
    with own_folder() as folder, running(dev_plane(folder)) as plane:
        plane.sign_in()
        plane.organization("acme", "admin")
        with closing(sqlite3.connect(plane.data / "control.db", timeout=30)) as database, database:
            row = ("acme", "quiet", "active", "", "[]", "unknown", 0, "{}", 1, 1, "", "")
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO agents VALUES ({marks})", row)  # noqa: S608 - marks
        yield Estate(plane, {})


@contextmanager
def stopped(agent: Agent, *others: int) -> Iterator[None]:
    """Its processes hold still, as those of a machine that hangs: connections stay open."""
    assert agent.process is not None
    pids = (agent.process.pid, *others)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def says_stale_and_comes_back(visit: Visit, agent: Agent, *others: int) -> None:
    """Within the stated time it is stale since the last message, dimmed; then live again."""
    page = visit.page
    visit.see("Live")
    with stopped(agent, *others):
        began = time.monotonic()
        page.get_by_text("Stale since").wait_for(timeout=PATIENCE)
        assert time.monotonic() - began < STATED + BUSY
        assert page.get_by_text("Live", exact=True).count() == 0
        expect(page.locator(".notice.old")).to_contain_text("Not live since")
        expect(page.locator(".notice.old")).to_contain_text(" ago")
        assert dimmed(page) < 1
    visit.see("Live")
    expect(page.locator(".notice.old")).to_have_count(0)
    assert dimmed(page) == 1


def dimmed(page: Page) -> float:
    """How strongly the last part of the page is drawn."""
    found = page.evaluate(
        "getComputedStyle(document.querySelector('.main .stack').lastElementChild).opacity"
    )
    return float(found)


def test_a_control_plane_that_hangs_is_not_live(chromium: Browser, lonely_plane: Estate) -> None:
    """The dashboard says since when, and comes back by itself."""
    with visiting(chromium, lonely_plane) as window:
        window.open("/")
        window.heading("Fleet")
        says_stale_and_comes_back(window, lonely_plane.plane)
        forgive(window)


def test_a_request_that_is_not_answered_fails(chromium: Browser, lonely_plane: Estate) -> None:
    """It names the time that it waited, and is tried again on demand."""
    with visiting(chromium, lonely_plane) as window:
        page = window.page
        window.open("/people")
        window.heading("People")
        window.go("/")
        window.see("Live")
        with stopped(lonely_plane.plane):
            for path in (
                "/audit",
                "/people",
            ):  # its code has to be fetched; its code is here already
                window.go(path)
                late = page.get_by_text("did not answer within 15 s")
                expect(late).to_have_count(0)  # of the page before
                late.first.wait_for(timeout=PATIENCE)
        page.get_by_role("button", name="Try again").first.click()
        window.heading("People")
        expect(page.get_by_text("did not answer within")).to_have_count(0)
        forgive(window)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_agent_that_hangs_is_not_live(chromium: Browser, workers: str) -> None:
    """Its own pages, with one process and with several."""
    with lone("--workers", workers) as agent, looking(chromium, agent) as window:
        window.open("/health")
        others = workers_of(agent) if workers != "1" else []
        says_stale_and_comes_back(window, agent, *others)
        if others:  # the workers answer pings still, and know of nothing new
            says_stale_and_comes_back(window, agent)
        forgive(window)


def forgive(window: Visit) -> None:
    """The browser tells of connections that did not open, and what the tests bring about."""
    window.faults[:] = [fault for fault in window.faults if "WebSocket connection" not in fault]
