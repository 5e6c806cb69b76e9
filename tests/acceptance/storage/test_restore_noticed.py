"""A restore is noticed by whoever has seen more: other agents, anchors, audit logs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from tests.support.polling import await_value

REASON = "the disk failed"
AHEAD = 100  # commits; more than what an agent that runs meanwhile makes by itself


def make_agent(folder: Path, url: str) -> Agent:
    """An agent on this database; of one that ran on another, it has its anchor and audit log."""
    folder.mkdir(exist_ok=True)
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {
                "key_management": "file", "key_file": f"{folder.parent}/root.key",
            },
        },
    )  # fmt: skip


def require(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, path, body)
    assert answer.status in {200, 201, 204}, answer
    return answer.json


def write(agent: Agent, count: int) -> None:
    """So many commits."""
    for number in range(count):
        require(agent, "POST", "/v1/secret/data/app", {"data": {"value": number}})


def backup(*arguments: object) -> Any:
    """What `freehold backup …` prints, in JSON."""
    done = freehold("backup", *map(str, arguments), "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["postgresql", "mysql"])
def make(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes URLs of empty databases of a server."""
    found: Callable[[], str] = request.getfixturevalue(request.param)
    return found


@contextmanager
def two_agents(folder: Path, url: str) -> Iterator[tuple[Agent, Agent]]:
    """Both run on one database, and have written."""
    first, second = (make_agent(folder / name, url) for name in ("first", "second"))
    with running(first):
        made = first.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        first.token = second.token = made.json["root_token"]
        require(first, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        write(first, 2)
        with running(second):
            write(second, 2)
            yield first, second


def events(agent: Agent, operation: str) -> list[Any]:
    """Of its log."""
    found: list[Any] = require(agent, "GET", f"/api/v1/audit/events?operation={operation}")[
        "events"
    ]
    return found


def restored(agent: Agent, folder: Path, made: Any, url: str, *logs: Path) -> Any:
    """Into another database, by the configuration of this agent."""
    make_agent(agent.folder, url)
    options = [word for log in logs for word in ("--audit-log", log)]
    return backup(
        "restore", folder / "backups", made["id"], "--config", agent.folder / "vault.yaml",
        "--reason", REASON, "--keep-tokens", *options,
    )  # fmt: skip


def refused_start(agent: Agent) -> str:
    """What an agent says that does not open."""
    ended = freehold("agent", "serve", "--config", str(agent.folder / "vault.yaml"))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    return said


def require_whole(*agents: Agent) -> None:
    """The logs of all of them are, together."""
    words = [word for each in agents for word in ("--log", str(each.folder / "audit.log"))]
    config = str(agents[0].folder / "vault.yaml")
    done = freehold("audit", "verify", *words, "--complete", "--config", config)
    assert done.returncode == 0, done.stderr


def test_an_agent_that_has_seen_more(folder: Path, make: Callable[[], str]) -> None:
    """It stays sealed until that is accepted; both logs are whole, and say what happened."""
    with two_agents(folder, make()) as (first, second):
        config = first.folder / "vault.yaml"
        made = backup("create", folder / "backups", "--config", config)
        write(first, 1)
        first.stop()
        write(second, AHEAD)
        second.stop()
        url = make()
        result = restored(first, folder, made, url)
        assert result["missing_logs"] == [result_node(second)]
        again, other = (make_agent(each.folder, url) for each in (first, second))
        again.token = other.token = first.token
        with running(again):
            assert again.call("GET", "/v1/secret/data/app").status == 200
            assert len(events(again, "sys.restore")) == 1
            refused = refused_start(other)
            assert "storage_rolled_back" in refused
            assert "operator accept-rollback" in refused
            accepted = freehold(
                "operator", "accept-rollback", "--config", str(other.folder / "vault.yaml"),
                "--reason", REASON,
            )  # fmt: skip
            assert accepted.returncode == 0, accepted.stderr
            with running(other):
                unseal(other)
                assert other.call("GET", "/v1/secret/data/app").status == 200
                assert len(events(other, "sys.accept_rollback")) == 1
                assert len(events(other, "sys.restore")) == 1
                write(other, 1)
        require_whole(again, other)


def unseal(agent: Agent) -> None:
    """As an operator who tries again.

    An opening with an acceptance is refused when another agent commits in the midst of it.
    """

    def is_open() -> bool:
        done = freehold(
            "operator", "unseal", "--config", str(agent.folder / "vault.yaml"),
            environment={"FREEHOLD_ADDR": agent.address},
        )  # fmt: skip
        assert not done.returncode or "another agent has committed" in done.stderr, done.stderr
        return not done.returncode

    await_value(is_open, 180.0, "unsealed")


def result_node(agent: Agent) -> str:
    """The node whose log an agent writes."""
    done = freehold("audit", "verify", "--log", str(agent.folder / "audit.log"), "-o", "json")
    node: str = json.loads(done.stdout)["node"]
    return node


def test_an_agent_whose_log_was_given(folder: Path, make: Callable[[], str]) -> None:
    """The restored vault is later than all that it has seen: it opens, and records the restore."""
    with two_agents(folder, make()) as (first, second):
        made = backup("create", folder / "backups", "--config", first.folder / "vault.yaml")
        first.stop()
        write(second, 5)
        user = require(second, "POST", "/api/v1/users", {"username": "ann"})
        second.stop()
        url = make()
        logs = [each.folder / "audit.log" for each in (first, second)]
        result = restored(first, folder, made, url, *logs)
        assert result["missing_logs"] == result["log_faults"] == []
        again, other = (make_agent(each.folder, url) for each in (first, second))
        again.token = other.token = first.token
        with running(again), running(other):
            for each in (again, other):
                assert each.call("GET", f"/api/v1/users/{user['id']}").status == 404
                assert len(events(each, "sys.restore")) == 1
                write(each, 1)
        require_whole(again, other)
        assert result_node(other) == result_node(second)


def test_an_anchor_that_has_seen_more(folder: Path, make: Callable[[], str]) -> None:
    """The old machine's: it does not open what another machine has restored without it."""
    with two_agents(folder, make()) as (first, second):
        made = backup("create", folder / "backups", "--config", first.folder / "vault.yaml")
        second.stop()
        write(first, 5)
        first.stop()
        url = make()
        machine = make_agent(folder / "machine", url)
        machine.token = first.token
        restored(machine, folder, made, url)
        with running(machine):
            assert len(events(machine, "sys.restore")) == 1
        assert "storage_rolled_back" in refused_start(make_agent(first.folder, url))
