"""Two agents on one database: one of them is killed or stopped within a step of a rotation."""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from loadtests.durability.process import run_this_code
from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.rotation import short_settle
from tests.acceptance.workers.waiting import await_true
from tests.contract.rotation.targets import PostgresqlTarget
from tests.support.cutter import HELD, SILENT, Cutter, cutter
from tests.support.databases import shared_server

PATH: Final = "secret/db/app"
WITHIN: Final = 10.0
BUSY: Final = 30.0  # seconds more, on a busy machine


@pytest.fixture
def agents(folder: Path) -> Iterator[list[Agent]]:
    """Both, started; the first one has the leases."""
    url = shared_server("postgresql").empty()
    made = [agent_at(folder / name, url) for name in ("a", "b")]
    with ExitStack() as stack:
        first, second = made
        stack.enter_context(running(first))
        body = {"secret_shares": 1, "secret_threshold": 1}
        first.token = first.call("PUT", "/v1/sys/init", body).json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert first.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        await_true(lambda: "lease rotation: this agent has it" in first.output())
        shutil.copy(first.data / "root.key", second.data / "root.key")
        second.token = first.token
        stack.enter_context(running(second))
        yield made


def agent_at(folder: Path, url: str) -> Agent:
    """An agent that is not started."""
    folder.mkdir()
    made = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
            "storage": {"type": "postgresql", "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )
    run_this_code(made)
    made.command = [sys.executable, short_settle.__file__, *made.command[1:]]
    return made


@pytest.fixture
def way(folder: Path) -> Iterator[Cutter]:
    """The agents' way to the target."""
    place = folder / "way"
    place.mkdir()
    with cutter(place, shared_server("postgresql").socket) as made:  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def target(agents: list[Agent], way: Cutter) -> PostgresqlTarget:
    """Two users that take turns, with a policy for their secret."""
    found = PostgresqlTarget(shared_server("postgresql"))  # type: ignore[arg-type]
    name = found.names[0]
    found.server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'first'")
    found.server.run(f"GRANT with_password TO {name}")
    found.server.run(f"GRANT {name} TO rotation_admin WITH ADMIN OPTION")
    secrets = {
        PATH: {"username": name, "password": "first"},
        "secret/admin": dict(found.connection(way.socket)),
    }
    for path, stored in secrets.items():
        put = agents[0].call("POST", "/api/v1/secrets", {"name": path, "value": stored})
        assert put.status == 201, put.body
    policy = {
        "rotator": "postgresql",
        "config": {"users": found.names, "owner": found.owner, "member_of": ["with_password"]},
        "connection": "secret/admin",
        "grace": "1s",
        "retry": {"attempts": 10, "base": "1s", "cap": "2s"},
    }
    written = agents[0].call("PUT", f"/api/v1/rotation/{PATH}", policy)
    assert written.status == 204, written.body
    return found


def rotations(agent: Agent) -> list[dict[str, Any]]:
    """The latest one first."""
    shown = agent.call("GET", f"/api/v1/rotation/{PATH}")
    assert shown.status == 200, shown.body
    found: list[dict[str, Any]] = shown.json["rotations"]
    return found


def value(agent: Agent) -> tuple[int, dict[str, str]]:
    """What an application gets, and which version that is."""
    read = agent.call("GET", f"/v1/secret/data/{PATH.removeprefix('secret/')}")
    assert read.status == 200, read.body
    return read.json["data"]["metadata"]["version"], read.json["data"]["data"]


def rotate(agent: Agent) -> None:
    """Ask for a rotation."""
    begun = agent.call("POST", f"/api/v1/rotate/{PATH}")
    assert begun.status == 202, begun.body


def test_another_agent_goes_on_where_one_was_killed(
    agents: list[Agent], target: PostgresqlTarget, way: Cutter
) -> None:
    """Within ten seconds; one rotation makes one version, and the target takes it."""
    first, second = agents
    way.at, way.cut = re.compile(rb"ALTER ROLE"), SILENT
    rotate(second)
    await_true(lambda: way.cuts == 1)
    await_true(lambda: rotations(second)[0]["state"] == "stored")
    killed = time.monotonic()
    first.kill()
    await_true(lambda: rotations(second)[0]["state"] not in {"stored", "applied", "verified"})
    assert time.monotonic() - killed < WITHIN + BUSY
    await_true(lambda: rotations(second)[0]["state"] == "retired")
    version, current = value(second)
    assert (version, len(rotations(second))) == (2, 1)
    assert target.accepts(current)
    assert not target.accepts({"username": target.names[0], "password": "first"})


@pytest.mark.parametrize("at", [b"BEGIN", b"ALTER ROLE"])
def test_a_holder_that_was_stopped_changes_nothing_when_it_goes_on(
    agents: list[Agent], target: PostgresqlTarget, way: Cutter, at: bytes
) -> None:
    """Two promotions later its statement reaches the target, which has the value of now.

    Within its transaction it holds nobody up for longer than it had time.
    """
    first, second = agents
    way.at, way.cut = re.compile(at), HELD
    rotate(second)
    await_true(lambda: way.cuts == 1)
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        for number in (1, 2):
            await_true(lambda number=number: rotations(second)[0]["number"] == number)
            await_true(lambda: rotations(second)[0]["state"] == "retired")
            if number == 1:
                rotate(second)
        way.released.set()
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    await_true(lambda: "a step of a rotation was not taken" in first.output())
    # It was away for longer than it may answer without a look at the database.
    await_true(lambda: first.call("GET", f"/api/v1/rotation/{PATH}").status == 200)
    version, current = value(first)
    assert (version, value(second)) == (3, (3, current))
    assert [row["state"] for row in rotations(first)] == ["retired", "retired"]
    assert target.accepts(current)
