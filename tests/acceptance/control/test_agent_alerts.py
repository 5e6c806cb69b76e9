"""What goes wrong with an agent is an alert at its control plane: raised for real, by processes."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.test_agent import enrolled, until
from tests.acceptance.workers.fleet import await_workers, workers_of
from vault.authn.lockout import FAILURES
from vault.workers.fleet import FAILING_DEATHS

BASE = "organizations/acme"


@pytest.fixture
def plane(folder: Path) -> Iterator[Plane]:
    """A control plane that serves."""
    (folder / "plane").mkdir()
    plane = dev_plane(folder / "plane")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        yield plane


@pytest.fixture
def agent(folder: Path, plane: Plane) -> Agent:
    """One that is enrolled and down, with two workers."""
    (folder / "agent").mkdir()
    agent = dev_agent(folder / "agent", workers=2)
    enrolled(plane, "v", "--data-dir", str(agent.data))
    return agent


def alerts(plane: Plane, code: str) -> list[tuple[str, str, int]]:
    """State, severity and count of those with this code."""
    found = plane.want(200, "GET", f"{BASE}/alerts?vault=v")
    return [(row["state"], row["severity"], row["count"]) for row in found if row["code"] == code]


def state(plane: Plane) -> str:
    """The agent's, in one word."""
    return str(plane.want(200, "GET", f"{BASE}/agents/v")["state"])


def metrics(agent: Agent) -> str:
    """As scraped."""
    return agent.call("GET", "/metrics").body.decode()


def write_behind(agent: Agent) -> None:
    """As somebody who can write the file; all rows are as they were afterwards."""
    with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
        database.execute("INSERT INTO system VALUES ('planted', x'00')")
        database.execute("DELETE FROM system WHERE name = 'planted'")


def test_a_write_behind_the_agent_is_an_alert_until_somebody_has_seen_it(
    plane: Plane, agent: Agent
) -> None:
    """Critical; the agent serves on, and only a person ends it."""
    with running(agent):
        until(lambda: state(plane) == "online")
        assert "vault_store_tampered_total 0.0" in metrics(agent)
        write_behind(agent)
        until(lambda: alerts(plane, "store_tampered") == [("firing", "critical", 1)])
        until(lambda: "vault_store_tampered_total 1.0" in metrics(agent))  # of either worker
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
        (row,) = plane.want(200, "GET", f"{BASE}/alerts?vault=v&state=open")
        assert "store.foreign_write" in row["message"]
        plane.want(200, "POST", f"{BASE}/alerts/{row['id']}/acknowledge", {})
        assert alerts(plane, "store_tampered") == [("resolved", "critical", 1)]


def test_an_accepted_rollback_is_an_alert(plane: Plane, agent: Agent) -> None:
    """Who accepts one on the agent's machine does not do so unseen by the control plane."""
    with running(agent):
        until(lambda: state(plane) == "online")
    copy = agent.database.read_bytes()
    with running(agent):
        made = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"})
        assert made.status == 200
    agent.database.write_bytes(copy)
    for left in ("-wal", "-shm"):
        agent.database.with_name(agent.database.name + left).unlink(missing_ok=True)
    assert "storage_rolled_back" in agent.refused_start()
    anchor = agent.data / "vault.anchor"
    words = ("operator", "accept-rollback", "--anchor", str(anchor), "--reason", "it is meant")
    assert freehold(*words).returncode == 0
    with running(agent):
        until(lambda: alerts(plane, "store_rolled_back") == [("firing", "critical", 1)])


def test_workers_that_end_again_and_again_are_an_alert(plane: Plane, agent: Agent) -> None:
    """The agent serves meanwhile. An agent that is started anew, and is steady, ends it."""
    with running(agent):
        until(lambda: state(plane) == "online")
        for _ in range(FAILING_DEATHS):
            assert "vault_workers_failing 0.0" in metrics(agent)
            victim = workers_of(agent)[0]
            os.kill(victim, signal.SIGKILL)
            await_workers(agent, victim)
        until(lambda: alerts(plane, "workers_failing") == [("firing", "critical", 1)])
        until(lambda: "vault_workers_failing 1.0" in metrics(agent))  # of either worker
        until(lambda: state(plane) == "degraded")  # which its next heartbeat says
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
    with running(agent):
        until(lambda: alerts(plane, "workers_failing") == [("resolved", "critical", 1)])


def test_a_lockout_is_an_alert(plane: Plane, agent: Agent) -> None:
    """Of all that began since the last one, at the latest when the vault is sealed."""
    with running(agent):
        until(lambda: state(plane) == "online")
        text = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"}).json["auth"]
        wrong = text["client_token"][:-1] + ("A" if text["client_token"][-1] != "A" else "B")
        for _ in range(FAILURES):
            assert agent.call("GET", "/v1/auth/token/lookup-self", token=wrong).status == 403
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        until(lambda: alerts(plane, "lockout") == [("firing", "warning", 1)])
        until(lambda: [row[:2] for row in alerts(plane, "sealed")] == [("firing", "critical")])


def test_an_opening_by_break_glass_is_a_critical_alert(plane: Plane, agent: Agent) -> None:
    """Beside the end of the alert that the agent is sealed."""
    with running(agent):
        until(lambda: state(plane) == "online")
        made = agent.call("POST", "/api/v1/system/break-glass", {"shares": 2, "threshold": 2})
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        until(lambda: [row[0] for row in alerts(plane, "sealed")] == ["firing"])
        allowed = freehold(
            "operator", "break-glass", "allow", "--reason", "r",
            "--anchor", str(agent.data / "vault.anchor"), "--output", "json",
        )  # fmt: skip
        code = json.loads(allowed.stdout)["code"]
        for share in made.json["shares"]:
            body = {"share": share, "code": code}
            told = agent.call("POST", "/api/v1/system/break-glass/open", body, token="")
        assert told.json["sealed"] is False, told.body
        until(lambda: alerts(plane, "break_glass") == [("firing", "critical", 1)])
        until(lambda: [row[0] for row in alerts(plane, "sealed")] == ["resolved"])
