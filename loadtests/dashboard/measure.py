"""What is measured in the browser: how soon, how much, and what stays in its memory.

Everything here runs in Playwright's thread and asks the stage, which is in Trio's, for events.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio
from playwright.sync_api import CDPSession, Page

from control.live.hub import MAX_POINTS
from control.model.records import Severity
from loadtests.dashboard.browser import chromium, sign_in, window
from loadtests.dashboard.environment import ORG, PASSWORD, PERSON, DashboardEnvironment, SilentLink
from loadtests.dashboard.results import DashboardResult

EVENTS: Final = 30
"""Of each kind."""
APART: Final = 400  # milliseconds between two events, and then some: see `PHASE`
PHASE: Final = 37
"""Milliseconds more each time, so that events meet every phase of the server's merging."""
STEP: Final = 60
"""Milliseconds between two steps of a quick hour: each has a message of its own."""
_WATCH: Final = """([within, text]) => {
    const boxes = [...document.querySelectorAll(within)];
    const box = boxes.find(each => each.textContent.includes(text));
    const before = box.textContent;
    window.seen = new Promise(done => {
        const observer = new MutationObserver(() => {
            if (box.textContent === before) return;
            observer.disconnect();
            const changed = Date.now();
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => done([changed, Date.now()]);
                channel.port2.postMessage(0);
            });
        });
        observer.observe(box, {subtree: true, childList: true, characterData: true});
    });
}"""
"""A message from within the callback of a frame is handled when that frame has been drawn."""


def measure_fleet(
    stage: DashboardEnvironment, agents: int, minutes: float, hours: int
) -> DashboardResult:
    """All figures of one fleet."""
    address = f"http://127.0.0.1:{stage.port}"
    with chromium() as browser, window(browser) as page:
        sign_in(page.context, address, ORG, PERSON, PASSWORD)
        counted = _count(page)
        began = time.time()
        page.goto(address)
        page.get_by_role("heading", name="Requests per second").wait_for()
        opened = time.time() - began
        page.wait_for_timeout(3_000)
        first, counted[:] = sum(counted), []
        trio.from_thread.run(stage.run_in_real_time, 60 * minutes)
        page.wait_for_timeout(500)
        minute, messages = sum(counted) / minutes, len(counted) / minutes
        alerts = _times(page, (".figure", "Open alerts"), partial(_alert, stage))
        heap, events, nodes = _hours(page, stage, hours)
        page.goto(f"{address}/agents/{stage.fleet[0].name}")
        page.get_by_role("heading", name="Link").wait_for()
        page.wait_for_timeout(1_000)
        links = _times(page, (".card > header", "Link"), _flips(stage))
        return DashboardResult(
            agents=agents, opened=opened, snapshot=first, bytes_a_minute=minute,
            messages_a_minute=messages, alert=alerts, link=links, heap=heap, nodes=nodes,
            events=events,
        )  # fmt: skip


def _count(page: Page) -> list[int]:
    """Bytes of each message from the server, as they come: payload and its frame's header."""
    sizes: list[int] = []

    def took(payload: str | bytes) -> None:
        size = len(payload.encode() if isinstance(payload, str) else payload)
        sizes.append(size + (2 if size < 126 else 4 if size < 1 << 16 else 10))  # noqa: PLR2004  # RFC 6455, 5.2

    page.on("websocket", lambda socket: socket.on("framereceived", took))
    return sizes


def _times(
    page: Page, where: tuple[str, str], happen: Callable[[], object]
) -> list[tuple[float, float]]:
    """Milliseconds from just before each event to the changed DOM, and to its drawn frame."""
    found = []
    for turn in range(EVENTS):
        page.wait_for_timeout(APART + turn * PHASE % APART)
        page.evaluate(_WATCH, list(where))
        began = time.time() * 1000
        happen()
        changed, drawn = page.evaluate("window.seen")
        found.append((changed - began, drawn - began))
    return found


def _alert(stage: DashboardEnvironment) -> None:
    name = stage.fleet[0].name
    trio.from_thread.run(
        stage.raise_alert, name, "agent_offline", Severity.WARNING, f"{name} is silent"
    )


def _flips(stage: DashboardEnvironment) -> Callable[[], None]:
    """Let the link of the first agent fall, and come back, by turns."""
    name, links = stage.fleet[0].name, [SilentLink()]
    trio.from_thread.run_sync(stage.hub.on_linked, ORG, name, links[0])

    def flip() -> None:
        if links:
            trio.from_thread.run_sync(stage.hub.on_unlinked, ORG, name, links.pop())
        else:
            links.append(SilentLink())
            trio.from_thread.run_sync(stage.hub.on_linked, ORG, name, links[0])

    return flip


def _hours(
    page: Page, stage: DashboardEnvironment, hours: int
) -> tuple[list[float], int, list[int]]:
    """MiB of JavaScript's heap and DOM nodes, before and after each hour; the reports that were."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    heap, nodes, before = [], [], stage.events
    for hour in range(hours + 1):
        for _ in range(MAX_POINTS if hour else 0):
            trio.from_thread.run_sync(stage.step)
            page.wait_for_timeout(STEP)
        page.wait_for_timeout(1_000)
        figures = _figures(session)
        heap.append(figures["JSHeapUsedSize"] / (1 << 20))
        nodes.append(int(figures["Nodes"]))
    return heap, stage.events - before, nodes


def _figures(session: CDPSession) -> dict[str, Any]:
    """After everything that can be let go has been."""
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {each["name"]: each["value"] for each in metrics}
