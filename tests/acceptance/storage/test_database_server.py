"""`freehold agent serve` on a PostgreSQL and a MariaDB server, through whatever befalls them."""

import http.client
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold
from tests.support.databases import SERVERS, Server, in_database
from tests.support.polling import await_value
from tests.support.postgres import Postgres

PASSWORD = "s3cret-of-the-test"
WITHIN = 30.0  # seconds, on a busy machine
WRITERS = 4


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """A running server of each kind."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def agent(server: Server, folder: Path) -> Iterator[Agent]:
    """An agent with a database of its own and one secret, started."""
    made = server_agent(folder, server.empty())
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        assert write(made, "first", 0).status == 200
        yield made


def server_agent(folder: Path, url: str) -> Agent:
    """`agent serve` on the database of the URL, which unseals by itself; not started."""
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )


def write(agent: Agent, name: str, number: int) -> Answer:
    """One version more."""
    return agent.call("POST", f"/v1/secret/data/{name}", {"data": {"n": number}})


def read(agent: Agent, name: str, version: int = 0) -> Answer:
    """A version; the current one unless told otherwise."""
    return agent.call("GET", f"/v1/secret/data/{name}?version={version}")


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it does."""
    await_value(holds, WITHIN)


@contextmanager
def writing(agent: Agent) -> Iterator[list[list[int]]]:
    """Load for the length of the block: the versions that each writer was acknowledged."""
    stored: list[list[int]] = [[] for _ in range(WRITERS)]
    over = threading.Event()

    def run(number: int) -> None:
        while not over.is_set():
            with suppress(OSError, http.client.HTTPException):
                answer = write(agent, f"w{number}", len(stored[number]))
                if answer.status == 200:
                    stored[number].append(answer.json["data"]["version"])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield stored
    finally:
        over.set()
        for thread in threads:
            thread.join()


def require_stored(agent: Agent, stored: list[list[int]]) -> None:
    """What was acknowledged is there, and no number of a version is missing."""
    for number, versions in enumerate(stored):
        assert versions
        assert len(set(versions)) == len(versions)
        metadata = agent.call("GET", f"/v1/secret/metadata/w{number}").json["data"]
        found = sorted(map(int, metadata["versions"]))
        assert found == list(range(found[0], metadata["current_version"] + 1))
        assert set(found) >= {version for version in versions if version >= found[0]}
        assert read(agent, f"w{number}", max(versions)).status == 200


def refused_start(folder: Path) -> str:
    """What `agent serve` says that cannot start."""
    ended = freehold("agent", "serve", "--config", str(folder / "vault.yaml"))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said
    assert PASSWORD not in said
    return said


def test_restart_and_refusals(agent: Agent, server: Server, folder: Path, tmp_path: Path) -> None:
    """What was written is there after a restart; what cannot start says which setting is why."""
    url = json.loads((folder / "vault.yaml").read_text())["storage"]["connection_string"]
    second = tmp_path / "second"
    second.mkdir()
    kind, _, place = url.partition("://")
    there = place.partition("@")[2]
    server_agent(second, f"{kind}://nobody:{PASSWORD}@{there}")
    assert "storage.connection_string" in refused_start(second)
    unsafe, safe, name = (
        ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync", "fsync")
        if isinstance(server, Postgres)
        else (
            "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
            "innodb_flush_log_at_trx_commit",
        )
    )
    reload = ["SELECT pg_reload_conf()"] if isinstance(server, Postgres) else []
    agent.stop()
    server.run(unsafe, *reload)
    said = refused_start(folder)
    server.run(safe, *reload)
    assert f"{name} is " in said
    agent.start()
    assert read(agent, "first").json["data"]["data"] == {"n": 0}
    assert agent.verify().returncode == 0


def test_outage_and_kill(agent: Agent, server: Server) -> None:
    """The server goes and comes back, then the agent is killed: nothing acknowledged is lost."""
    assert read(agent, "first").status == 200  # and cached
    with writing(agent) as stored:
        eventually(lambda: all(stored))
        server.stop()
        try:
            eventually(lambda: agent.call("GET", "/health/ready").status == 503)
            for answer in (read(agent, "first"), write(agent, "first", 1), native(agent)):
                assert answer.status == 503, answer
            error = native(agent).json
            assert set(error) >= {"type", "code", "message", "request_id"}
            assert agent.call("GET", "/health/live").status == 200
        finally:
            server.start()
        eventually(lambda: agent.call("GET", "/health/ready").status == 200)
        before = [len(versions) for versions in stored]
        eventually(lambda: all(len(v) > n for v, n in zip(stored, before, strict=True)))
        require_stored(agent, [list(versions) for versions in stored])
        agent.kill()
    agent.start()
    require_stored(agent, [list(versions) for versions in stored])
    assert read(agent, "first").json["data"]["data"] == {"n": 0}
    assert agent.verify().returncode == 0
    assert "Traceback" not in agent.output()


def native(agent: Agent) -> Answer:
    """A read by the agent's own API."""
    return agent.call("GET", "/api/v1/secrets/secret/first")


def test_the_database_is_a_witness_of_the_log(agent: Agent, tmp_path: Path) -> None:
    """An older copy of log, head and anchor passes by itself, and not beside the database."""
    config = agent.folder / "vault.yaml"
    assert verify_log(agent.audit_log, config).returncode == 0
    old = tmp_path / "old"
    old.mkdir()
    agent.stop()
    for file in (*agent.data.glob("audit.log*"), agent.data / "vault.anchor"):
        (old / file.name).write_bytes(file.read_bytes())
    agent.start()
    for number in range(3):
        assert write(agent, "later", number).status == 200
    agent.stop()
    assert verify_log(old / "audit.log").returncode == 0
    beside = verify_log(old / "audit.log", config, "--anchor", str(old / "vault.anchor"))
    assert beside.returncode == 1
    assert "witness: " in beside.stderr
    assert " database " in beside.stderr


def test_a_witness_that_does_not_answer(agent: Agent, server: Server) -> None:
    """The log is not called whole without it."""
    config = agent.folder / "vault.yaml"
    agent.stop()
    text = config.read_text()
    name = json.loads(text)["storage"]["connection_string"].partition("@/")[2].partition("?")[0]
    config.write_text(text.replace(f"/{name}?", "/nowhere?"))
    done = verify_log(agent.audit_log, config)
    assert done.returncode == 1
    assert "database nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_machines_take_turns(agent: Agent, tmp_path: Path) -> None:
    """Each has a data folder of its own; the database is theirs together."""
    agent.stop()
    settings = json.loads((agent.folder / "vault.yaml").read_text())
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "root.key").write_bytes((agent.folder / "root.key").read_bytes())
    (folder / "root.key").chmod(0o600)
    other = server_agent(folder, settings["storage"]["connection_string"])
    other.token = agent.token
    for number in range(1, 3):
        for one in (other, agent):
            with running(one):
                assert read(one, "first").json["data"]["data"]["n"] == number - 1
                if one is agent:
                    assert write(one, "first", number).status == 200
    logs = ("--log", str(agent.folder), "--log", str(folder))
    config = ("--config", str(agent.folder / "vault.yaml"), "--complete", "-o", "json")
    done = freehold("audit", "verify", *logs, *config)
    assert done.returncode == 0, done.stderr
    assert len({row["node"] for row in json.loads(done.stdout)}) == 2
    done = freehold("audit", "verify", *logs[:2], *config)
    assert done.returncode == 1
    assert "its log is missing here" in done.stderr
    for file in [*folder.glob("audit.log*"), *folder.glob("vault.anchor*")]:
        file.unlink()
    with running(agent):
        assert read(agent, "first").status == 200, "what the other has lost is not its business"
    assert "had its audit log here, and log and anchor are gone" in refused_start(folder)
    with running(agent):
        _forget_the_other(agent)
    done = freehold("audit", "verify", *logs[:2], *config)
    assert done.returncode == 0, done.stderr
    with running(other):
        assert read(other, "first").status == 200


def _forget_the_other(agent: Agent) -> None:
    """Of two nodes the one that does not run."""
    nodes = agent.call("GET", "/api/v1/system/nodes").json["nodes"]
    assert sorted((node["running"], node["answers"]) for node in nodes) == [
        (False,) * 2,
        (True,) * 2,
    ]
    gone, own = sorted(nodes, key=lambda node: node["running"])
    for node, status in ((own, 409), (gone, 204), (gone, 404)):
        path = f"/api/v1/system/nodes/{node['id']}"
        assert agent.call("DELETE", path).status == status
    assert agent.call("GET", "/api/v1/system/nodes").json["nodes"] == [own]


def verify_log(
    log: Path, config: Path | None = None, *more: str
) -> "subprocess.CompletedProcess[str]":
    """`freehold audit verify`."""
    options = [] if config is None else ["--config", str(config)]
    return freehold("audit", "verify", "--log", str(log), *options, *more)


def test_background_work_has_a_lease(agent: Agent, server: Server) -> None:
    """The agent takes it at its start and gives it up at its stop: the next one need not wait."""
    url = json.loads((agent.folder / "vault.yaml").read_text())["storage"]["connection_string"]
    execute = in_database(server, url)

    def leases() -> list[tuple[str, int, bool]]:
        rows = execute("SELECT name, epoch, holder FROM leases ORDER BY name")
        return [(_text(name), epoch, bool(holder)) for name, epoch, holder in rows]

    names = ("backup-schedule", "dynamic", "expiry", "keys", "report", "rotation")
    eventually(lambda: leases() == [(name, 1, True) for name in names])
    ends = execute("SELECT MAX(until) FROM leases")
    eventually(lambda: execute("SELECT MAX(until) FROM leases") > ends)  # renewed
    assert leases() == [(name, 1, True) for name in names]
    agent.stop()
    assert leases() == [(name, 1, False) for name in names]
    agent.start()
    eventually(lambda: leases() == [(name, 2, True) for name in names])
    assert agent.verify().returncode == 0


def _text(name: str | bytes) -> str:
    """As MariaDB has it: names are bytes there."""
    return name.decode() if isinstance(name, bytes) else name
