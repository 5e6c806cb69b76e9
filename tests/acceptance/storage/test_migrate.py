"""`freehold storage migrate`: an agent moves from one kind of database to the next and back."""

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from vault.store.schema import HEAD, UNFINISHED

SECRETS = 30
PASSWORD = "s3cret-of-the-test"  # to a server that asks for none
RULE = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read"]}


@pytest.fixture
def agent(folder: Path) -> Iterator[Agent]:
    """An agent with its data in a file, which unseals by itself, with something of each kind."""
    made = served_agent(folder, {**sections(folder), "storage": sqlite(folder / "vault.db")})
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        require(made, "POST", "/v1/sys/mounts/secret", mount)
        require(made, "PUT", "/api/v1/policies/app", {"rules": [RULE]})
        for number in range(SECRETS):
            for value in range(2):
                data = {"data": {"value": f"{number}-{value}"}}
                require(made, "POST", f"/v1/secret/data/app/{number}", data)
        yield made


def sections(folder: Path) -> dict[str, Any]:
    """The configuration but for the database."""
    return {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
    }


def sqlite(file: Path) -> dict[str, str]:
    """The section of a file."""
    return {"type": "sqlite", "connection_string": f"sqlite:///{file}"}


def on_server(url: str) -> dict[str, str]:
    """The section of a database on a server."""
    return {"type": url.partition(":")[0], "connection_string": url}


def require(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, path, body)
    assert answer.status in {200, 204}, answer
    return answer.json


def migrate(source: str, target: str, *more: str) -> "subprocess.CompletedProcess[str]":
    """A run of the command."""
    return freehold("storage", "migrate", "--from", source, "--to", target, *more)


def configure(agent: Agent, storage: dict[str, str]) -> Path:
    """Have the agent use this database from its next start on; the configuration."""
    config = agent.folder / "vault.yaml"
    audit = {"audit": {"log_file": str(agent.folder / "audit.log")}}
    config.write_text(json.dumps(sections(agent.folder) | audit | {"storage": storage}))
    return config


def require_everything(agent: Agent, token: str, uses: int, config: Path) -> None:
    """All secrets in all versions, the token with its policy and its uses, the audit log."""
    for number in range(SECRETS):
        for version in (1, 2):
            path = f"/v1/secret/data/app/{number}?version={version}"
            assert require(agent, "GET", path)["data"]["data"] == {
                "value": f"{number}-{version - 1}"
            }
    assert agent.call("GET", "/v1/secret/data/app/1", token=token).status == 200
    assert agent.call("GET", "/v1/secret/data/other", token=token).status == 403
    found = require(agent, "POST", "/v1/auth/token/lookup", {"token": token})
    assert found["data"]["num_uses"] == uses
    verified = freehold("audit", "verify", "--log", str(agent.audit_log), "--config", str(config))
    assert verified.returncode == 0, verified.stderr


def test_around(agent: Agent, postgresql: Callable[[], str], mysql: Callable[[], str]) -> None:
    """SQLite, PostgreSQL, MariaDB, SQLite: every secret and token is valid in each."""
    body = {"policies": ["app"], "num_uses": 9, "ttl": "1h"}
    token = require(agent, "POST", "/v1/auth/token/create", body)["auth"]["client_token"]
    places = [sqlite(agent.database), *(on_server(make()) for make in (postgresql, mysql))]
    places.append(sqlite(agent.folder / "again" / "vault.db"))
    uses = 9
    for old, new in pairwise(places):
        agent.stop()
        done = migrate(old["connection_string"], new["connection_string"], "-o", "json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["copied"] == told["rows"] == sum(each["rows"] for each in told["tables"])
        assert len(told["root"]) == 64
        config = configure(agent, new)
        agent.start()
        uses -= 2
        require_everything(agent, token, uses, config)
        require(agent, "POST", "/v1/secret/data/later", {"data": {"in": new["type"]}})
    assert "Traceback" not in agent.output()


def test_the_former_database_is_noticed(agent: Agent, postgresql: Callable[[], str]) -> None:
    """Once the agent was unsealed on the new one, it does not start on the former one."""
    agent.stop()
    url = postgresql()
    done = migrate(f"sqlite:///{agent.database}", url.replace("@", f":{PASSWORD}@", 1))
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert f"  connection_string: {url}\n" in done.stderr
    assert "  password_file: FILE with the password\n" in done.stderr
    assert f"log_file: {agent.audit_log}" in done.stderr
    configure(agent, on_server(url))
    agent.start()
    agent.stop()
    configure(agent, sqlite(agent.database))
    assert "storage_rolled_back" in agent.refused_start()


def test_the_former_database_was_used_on(agent: Agent, postgresql: Callable[[], str]) -> None:
    """Then the copy is the older one, and it is noticed; another copy takes its place."""
    agent.stop()
    source, url = f"sqlite:///{agent.database}", postgresql()
    assert migrate(source, url).returncode == 0
    agent.start()
    require(agent, "POST", "/v1/secret/data/later", {"data": {"in": "sqlite"}})
    agent.stop()
    configure(agent, on_server(url))
    assert "storage_rolled_back" in agent.refused_start()
    again = migrate(source, url)
    assert again.returncode == 5
    assert "use an empty database" in again.stderr
    other = postgresql()
    assert migrate(source, other).returncode == 0
    configure(agent, on_server(other))
    agent.start()
    assert require(agent, "GET", "/v1/secret/data/later")["data"]["data"] == {"in": "sqlite"}


def test_refused_while_an_agent_runs(agent: Agent, mysql: Callable[[], str]) -> None:
    """With one line that says so, and an exit code of its own."""
    done = migrate(str(agent.folder / "vault.yaml"), mysql())
    assert done.returncode == 7
    assert len(done.stderr.splitlines()) == 1
    assert "source" in done.stderr
    assert "stop" in done.stderr


def test_an_unfinished_copy_is_no_database(agent: Agent) -> None:
    """An agent on it ends, and names the command that completes it."""
    agent.stop()
    target = agent.folder / "again.db"
    source, url = f"sqlite:///{agent.database}", f"sqlite:///{target}"
    assert migrate(source, url).returncode == 0
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute(f"UPDATE alembic_version SET version_num = '{UNFINISHED}{HEAD}-x'")  # noqa: S608  # constants
    configure(agent, sqlite(target))
    refused = agent.refused_start()
    assert "store_incomplete" in refused
    assert "freehold storage migrate" in refused
    assert migrate(source, url).returncode == 0
    agent.start()
    assert require(agent, "GET", "/v1/secret/data/app/1")["data"]["data"] == {"value": "1-1"}
