"""`freehold backup`: what an agent served before, another agent serves from a backup of it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from tools import backup_verify

SECRETS = 12
REASON = "the disk failed"


@pytest.fixture
def agent(folder: Path) -> Iterator[Agent]:
    """An agent with its data in a file, which unseals by itself."""
    with filled(folder, sqlite(folder / "vault.db")) as made:
        yield made


@contextmanager
def filled(folder: Path, storage: dict[str, str]) -> Iterator[Agent]:
    """An agent that runs, with its secrets in this database."""
    made = served_agent(folder, {**sections(folder), "storage": storage})
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        require(made, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        for number in range(SECRETS):
            write(made, number, "first")
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


def write(agent: Agent, number: int, value: str) -> None:
    """A version more."""
    require(agent, "POST", f"/v1/secret/data/app/{number}", {"data": {"value": value}})


def read(agent: Agent, number: int) -> str:
    """The current value."""
    found = require(agent, "GET", f"/v1/secret/data/app/{number}")
    value: str = found["data"]["data"]["value"]
    return value


def run(*arguments: object) -> Any:
    """What `freehold backup …` prints, in JSON."""
    done = freehold("backup", *map(str, arguments), "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def config_of(agent: Agent) -> Path:
    """Its configuration."""
    return agent.folder / "vault.yaml"


def new_machine(agent: Agent, folder: Path, storage: dict[str, str]) -> Agent:
    """An agent on a machine that has the key file and nothing else of the vault."""
    folder.mkdir()
    shutil.copy(agent.folder / "root.key", folder / "root.key")
    made = served_agent(folder, {**sections(folder), "storage": storage})
    made.token = agent.token
    return made


def restore(backups: Path, backup: str, target: Agent, *more: str) -> Any:
    """Into the database of an agent that has not been started."""
    return run("restore", backups, backup, "--config", config_of(target), "--reason", REASON, *more)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_another_machine(agent: Agent, request: pytest.FixtureRequest, kind: str) -> None:
    """Full and incremental, verified, restored into each kind of database, served and on record."""
    backups, config = agent.folder / "backups", config_of(agent)
    agent.stop()
    full = run("create", backups, "--config", config)
    agent.start()
    write(agent, 1, "second")
    agent.stop()
    later = run("create", backups, "--config", config, "--base", full["id"])
    assert (full["kind"], later["kind"], later["base"]) == ("full", "incremental", full["id"])
    listed = run("list", backups)
    assert [each["id"] for each in listed] == [full["id"], later["id"]]
    assert run("show", backups, full["id"])["row_root"] == full["row_root"]
    valid = run("validate", backups, later["id"], "--config", config)
    assert valid["rows_verified"]
    assert valid["backups"] == [later["id"], full["id"]]
    done = backup_verify.verify(
        backups / f"{full['id']}.manifest",
        verifier=full["verifier"],
        root_key=(agent.folder / "root.key").read_bytes(),
    )
    assert done == f"signature, chunks, {full['rows']} records"
    make: Callable[[], str] = (lambda: "") if kind == "sqlite" else request.getfixturevalue(kind)
    url, folder = make(), agent.folder / "new"
    storage = on_server(url) if url else sqlite(folder / "vault.db")
    other = new_machine(agent, folder, storage)
    result = restore(backups, later["id"], other, "--keep-tokens")
    assert result["commits"] == later["commits"] + 1
    with running(other):
        assert read(other, 1) == "second"
        assert {read(other, number) for number in range(2, SECRETS)} == {"first"}
        write(other, 3, "third")
        events = audit(other, "sys.restore")
        assert len(events) == 1
        [line] = [
            each for each in other.audit_log.read_text().splitlines() if '"sys.restore"' in each
        ]
        assert '"alert":true' in line
        assert REASON in events[0]["rule"]
        assert later["id"] in events[0]["rule"]
        assert len(audit(other, "sys.init")) == 0
        other.stop()
        other.start()
        assert read(other, 3) == "third"
        assert len(audit(other, "sys.restore")) == 1
        assert "Traceback" not in other.output()


def audit(agent: Agent, operation: str) -> list[Any]:
    """The events of an operation in the agent's log."""
    found = require(agent, "GET", f"/api/v1/audit/events?operation={operation}")
    events: list[Any] = found["events"]
    return events


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_while_the_agent_serves(folder: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """A database server is backed up beside its agents, and restored into a file."""
    make: Callable[[], str] = request.getfixturevalue(kind)
    backups = folder / "backups"
    with filled(folder, on_server(make())) as agent:
        made = run("create", backups, "--config", config_of(agent))
        write(agent, 1, "second")
        later = run("create", backups, "--config", config_of(agent), "--base", made["id"])
        assert later["kind"] == "incremental"
        assert read(agent, 1) == "second"
    other = new_machine(agent, folder / "new", sqlite(folder / "new" / "vault.db"))
    restore(backups, later["id"], other, "--keep-tokens")
    with running(other):
        assert read(other, 1) == "second"
        assert read(other, 2) == "first"


def test_the_same_machine(agent: Agent) -> None:
    """Its anchor and log have seen more than the backup: the restored vault is later still."""
    backups = agent.folder / "backups"
    agent.stop()
    made = run("create", backups, "--config", config_of(agent))
    agent.start()
    write(agent, 1, "lost")
    agent.stop()
    for file in agent.folder.glob("vault.db*"):
        file.unlink()
    result = restore(backups, made["id"], agent, "--keep-tokens")
    assert result["commits"] > made["commits"] + 1
    agent.start()
    assert read(agent, 1) == "first"


def test_tokens_are_gone(agent: Agent) -> None:
    """By default none is valid, and the root key makes another."""
    backups = agent.folder / "backups"
    agent.stop()
    made = run("create", backups, "--config", config_of(agent))
    folder = agent.folder / "new"
    other = new_machine(agent, folder, sqlite(folder / "vault.db"))
    assert restore(backups, made["id"], other)["tokens_dropped"] == 1
    with running(other):
        assert other.call("GET", "/v1/secret/data/app/1").status == 403
        made_root = freehold(
            "operator", "generate-root", "--config", str(config_of(other)), "-o", "json",
            environment={"FREEHOLD_ADDR": other.address},
        )  # fmt: skip
        assert made_root.returncode == 0, made_root.stderr
        other.token = json.loads(made_root.stdout)["root_token"]
        assert read(other, 1) == "first"


def test_refusals(agent: Agent) -> None:
    """While the agent runs, over a vault, of a damaged backup, with another root key."""
    backups, config = agent.folder / "backups", config_of(agent)
    busy = freehold("backup", "create", str(backups), "--config", str(config))
    assert busy.returncode == 7
    assert not list(backups.glob("*"))
    agent.stop()
    made = run("create", backups, "--config", config)
    over = freehold(
        "backup", "restore", str(backups), made["id"], "--config", str(config), "--reason", "x"
    )
    assert over.returncode == 5
    assert "use an empty database" in over.stderr
    folder = agent.folder / "new"
    other = new_machine(agent, folder, sqlite(folder / "vault.db"))
    before = (folder / "vault.db").read_bytes()
    (folder / "root.key").write_bytes(bytes(32))
    wrong = freehold(
        "backup", "restore", str(backups), made["id"], "--config", str(config_of(other)),
        "--reason", "x",
    )  # fmt: skip
    assert wrong.returncode == 4
    assert "does not open the keyring" in wrong.stderr
    data = backups / f"{made['id']}.backup"
    changed = bytearray(data.read_bytes())
    changed[-1] ^= 1
    data.write_bytes(changed)
    shutil.copy(agent.folder / "root.key", folder / "root.key")
    damaged = freehold(
        "backup", "restore", str(backups), made["id"], "--config", str(config_of(other)),
        "--reason", "x",
    )  # fmt: skip
    assert damaged.returncode == 1
    assert "Nothing was restored" in damaged.stderr
    assert (folder / "vault.db").read_bytes() == before  # empty, as every agent's before its start
    agent.start()
    assert read(agent, 1) == "first"


def test_for_an_offline_identity(agent: Agent) -> None:
    """Neither the key file nor the agent opens it; the identity and the key file restore it."""
    backups, identity = agent.folder / "backups", agent.folder / "identity"
    config = config_of(agent)
    recipient = run("keygen", identity)["recipient"]
    agent.stop()
    made = run("create", backups, "--config", config, "--recipient", recipient)
    outside = run("validate", backups, made["id"], "--config", config)
    assert not outside["rows_verified"]
    inside = run("validate", backups, made["id"], "--config", config, "--identity", identity)
    assert inside["rows_verified"]
    folder = agent.folder / "new"
    other = new_machine(agent, folder, sqlite(folder / "vault.db"))
    without = freehold(
        "backup", "restore", str(backups), made["id"], "--config", str(config_of(other)),
        "--reason", "x",
    )  # fmt: skip
    assert without.returncode == 4
    restore(backups, made["id"], other, "--keep-tokens", "--identity", str(identity))
    with running(other):
        assert read(other, 1) == "first"
