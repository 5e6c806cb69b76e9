"""Backups of agents that share a database, of one that is killed, and by the command line."""

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.command import freehold
from tests.support.polling import await_value

PATIENCE = 60.0
YEARLY = "0 0 1 1 *"


def sections(folder: Path, place: Path, url: str = "", **backup: Any) -> dict[str, Any]:
    """The configuration of an agent that unseals by itself."""
    storage = {"storage": {"type": url.partition(":")[0], "connection_string": url}} if url else {}
    return {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        "backup": {"destinations": [{"type": "local", "path": str(place)}], **backup},
        **storage,
    }


def fill(agent: Agent, megabytes: int = 0) -> None:
    """Make the vault, with values that do not compress."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.token = made.json["root_token"]
    agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    for number in range(megabytes * 2):
        value = base64.b64encode(os.urandom(375_000)).decode()
        agent.call("POST", f"/v1/secret/data/s{number}", {"data": {"a": value}})


def until(found: Callable[[], Any], what: str) -> Any:
    """Once it is so; often, for what is there for a moment only."""
    limit = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < limit, what
        time.sleep(0.002)
    return value


def backups(agent: Agent) -> list[dict[str, Any]]:
    """All of them."""
    listed: list[dict[str, Any]] = agent.call("GET", "/api/v1/backups").json["backups"]
    return listed


def ended(agent: Agent, run: str) -> dict[str, Any]:
    """A run, once it has ended."""

    def look() -> Any:
        found = agent.call("GET", f"/api/v1/backups/runs/{run}").json
        return found if found["outcome"] != "running" else None

    result: dict[str, Any] = await_value(look, PATIENCE, "the end of the run")
    return result


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a test."""
    with own_folder() as made:
        yield made


def test_two_agents_make_one_backup(folder: Path, postgresql: Callable[[], str]) -> None:
    """By the schedule of both; and whoever asks meanwhile is refused, at either of them."""
    url, place = postgresql(), folder / "backups"
    one, two = folder / "one", folder / "two"
    for each in (one, two):
        each.mkdir()
    with ExitStack() as stack:
        plan = {"enabled": True, "schedule": YEARLY}
        first = stack.enter_context(running(served_agent(one, sections(one, place, url, **plan))))
        fill(first)
        shutil.copy(one / "root.key", two / "root.key")
        second = served_agent(two, sections(two, place, url, **plan))
        second.token = first.token
        stack.enter_context(running(second))
        await_value(lambda: backups(first), PATIENCE, "the first backup")
        for _ in range(20):
            assert len(backups(first)) == len(backups(second)) == 1
            time.sleep(0.1)
        agents = [first, second]
        for number in range(4):
            here, there = agents[number % 2], agents[(number + 1) % 2]
            begun = here.call("POST", "/api/v1/backups", {"full": True})
            refused = there.call("POST", "/api/v1/backups", {"full": True})
            assert begun.status == 202
            elsewhere = there.call("GET", f"/api/v1/backups/runs/{begun.json['id']}")
            assert (elsewhere.status, elsewhere.json["code"]) == (404, "backup_run_elsewhere")
            assert elsewhere.json["details"]["node"] == begun.json["node"]
            if refused.status == 202:
                assert here.call("GET", f"/api/v1/backups/runs/{begun.json['id']}").json["ended_at"]
                ended(there, refused.json["id"])
            else:
                assert (refused.status, refused.json["code"]) == (409, "backup_running")
            assert ended(here, begun.json["id"])["outcome"] == "succeeded"
        assert all(each["verified"] for each in backups(second))
        output = first.output() + second.output()
    assert "Traceback" not in output


def test_killed_in_the_midst(folder: Path) -> None:
    """Nothing half is left that claims to be a backup; the next start makes the one that is due."""
    place = folder / "backups"
    config = sections(folder, place)
    with running(served_agent(folder, config)) as agent:
        fill(agent, megabytes=48)
        begun = agent.call("POST", "/api/v1/backups")
        assert begun.status == 202
        until(lambda: place.exists() and any(place.glob(".*.backup.part")), "the first byte")
        agent.kill()
        assert not [file for file in place.iterdir() if file.name.endswith(".manifest")]
        agent.start()
        status = "/v1/sys/seal-status"
        await_value(lambda: agent.call("GET", status).json["sealed"] is False, PATIENCE, "open")
        assert backups(agent) == []
        begun = agent.call("POST", "/api/v1/backups")
        assert ended(agent, begun.json["id"])["outcome"] == "succeeded"
        assert len(backups(agent)) == 1
    assert not [file for file in place.iterdir() if file.name.startswith(".")]


def test_the_vault_seals_while_a_backup_is_made(folder: Path) -> None:
    """In time, with nothing left; unsealed again it makes another one."""
    place = folder / "backups"
    with running(served_agent(folder, sections(folder, place))) as agent:
        fill(agent, megabytes=48)
        agent.call("POST", "/api/v1/backups")
        until(lambda: place.exists() and any(place.glob(".*.backup.part")), "the first byte")
        before = time.monotonic()
        assert agent.call("POST", "/api/v1/system/seal").status == 204
        assert time.monotonic() - before < PATIENCE
        assert [file for file in place.iterdir() if not file.name.startswith(".")] == []
        assert [file for file in place.iterdir() if file.name.endswith(".part")] == []


def test_by_the_command_line(folder: Path) -> None:
    """Made, listed, shown, validated and deleted at a running agent."""

    def run(*arguments: str) -> Any:
        environment = {"VAULT_ADDR": f"http://127.0.0.1:{agent.port}", "VAULT_TOKEN": agent.token}
        done = freehold("backup", *arguments, "-o", "json", environment=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    with running(served_agent(folder, sections(folder, folder / "backups"))) as agent:
        fill(agent)
        made = run("create")
        assert made["outcome"] == "succeeded"
        (listed,) = run("list")
        assert listed["id"] == made["results"][0]["backup"]
        assert run("show", listed["id"])["verified"]
        assert run("validate", listed["id"])["results"][0]["rows_verified"]
        assert run("schedule")["state"] == "off"
        detached = run("create", "--full", "--detach")["run"]
        assert run("status", detached)["id"] == detached
        assert ended(agent, detached)["outcome"] == "succeeded"
        assert [each["kind"] for each in run("status")] == ["backup", "validation", "backup"]
        run("delete", listed["id"], "--yes")
        assert len(run("list")) == 1
