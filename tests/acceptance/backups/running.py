"""An open agent with destinations for backups, and runs to their end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, running, served_agent

PATIENCE = 30.0


@contextmanager
def open_agent(folder: Path, **section: Any) -> Iterator[Agent]:
    """An open agent with two destinations, and something to back up."""
    local = [{"type": "local", "name": name, "path": str(folder / name)} for name in ("one", "two")]
    config = {"backup": {"destinations": local, **section}}
    with running(served_agent(folder, config)) as agent:
        unseal(agent)
        agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        for number in range(20):
            agent.call("POST", f"/v1/secret/data/s{number}", {"data": {"a": number}})
        yield agent


def unseal(agent: Agent) -> None:
    """Make the vault, open it, and use its root token."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
    agent.token = made["root_token"]
    assert agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}).json["sealed"] is False


def ended(agent: Agent, run: dict[str, Any]) -> dict[str, Any]:
    """The run, once it has ended."""
    limit = time.monotonic() + PATIENCE
    while run["outcome"] == "running":
        assert time.monotonic() < limit, run
        run = agent.call("GET", f"/api/v1/backups/runs/{run['id']}").json
    return run


def back_up(agent: Agent, **body: Any) -> list[dict[str, Any]]:
    """The results of a run that has to succeed."""
    begun = agent.call("POST", "/api/v1/backups", body)
    assert begun.status == 202, begun.body
    run = ended(agent, begun.json)
    assert run["outcome"] == "succeeded", run
    results: list[dict[str, Any]] = run["results"]
    return results


def events(agent: Agent, operation: str) -> list[dict[str, Any]]:
    """What the audit log says of it, newest first."""
    found = agent.call("GET", f"/api/v1/audit/events?operation={operation}").json
    listed: list[dict[str, Any]] = found["events"]
    return listed
