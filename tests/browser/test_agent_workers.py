"""The agent's own pages while several processes answer: the same pages, one live feed."""

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent
from tests.acceptance.workers.fleet import workers_of
from tests.browser.lone import lone, looking, tell
from tests.browser.visit import PATIENCE

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """With two workers."""
    with lone("--workers", "2") as made:
        yield made


def test_a_session_is_one_whichever_process_answers(chromium: Browser, agent: Agent) -> None:
    """Pages, reads and the feed; a request that is malformed is no sign-out."""
    with looking(chromium, agent) as window:
        page = window.page
        window.open("/secrets/one?name=secret/app/db")
        window.heading("secret/app/db")
        page.get_by_role("button", name="Show the value").click()
        expect(page.get_by_label("Value", exact=True)).to_contain_text("old")
        for _ in range(8):  # on more than one connection: two workers accept
            page.reload()
            window.heading("secret/app/db")
        found = page.evaluate(
            "headers => fetch('/api/v1/secrets/secret/app/db?version=x', {headers})"
            ".then(r => r.status)",
            {"X-Session-Key": window.session_key},
        )
        assert found == 400
        window.go("/health")
        window.see("Live")
        window.faults[:] = [fault for fault in window.faults if "400" not in fault]


def test_a_revocation_cuts_the_feed_of_another_process(chromium: Browser, agent: Agent) -> None:
    """At once, as in one process."""
    looks = {"effect": "allow", "paths": ["sys/health"], "capabilities": ["read"]}
    tell(agent, "PUT", "policies/looks", {"rules": [looks]})
    token = tell(agent, "POST", "tokens", {"policies": ["looks"]})
    with looking(chromium, agent, credential=token["token"]) as window:
        window.open("/health")
        window.see("Live")
        tell(agent, "POST", "tokens/revoke", {"token": token["token"]})
        window.heading("Sign in")
        window.faults.clear()


def test_a_worker_that_dies_takes_no_page_along(chromium: Browser, agent: Agent) -> None:
    """Its browsers come back by themselves; the session goes on."""
    with looking(chromium, agent) as window:
        window.open("/health")
        window.see("Live")
        with window.page.expect_websocket():  # the next one
            for pid in workers_of(agent):
                os.kill(pid, signal.SIGKILL)
        window.see("Live")
        window.faults.clear()


def test_a_websocket_without_a_session_is_refused(agent: Agent) -> None:
    """By the leader, before the upgrade, through the worker; and it is on record."""
    headers = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": agent.address,
    }  # fmt: skip
    answer = agent.call("GET", "/api/v1/live", token="", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    events = tell(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    assert events
