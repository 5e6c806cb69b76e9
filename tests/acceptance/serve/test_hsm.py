"""A root key that a PKCS#11 token wraps: real agents and SoftHSM."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from loadtests.process import process_tree
from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.serve.test_root_key import put, unmasked
from tests.acceptance.workers.waiting import await_true
from tests.support.databases import Server
from tests.support.softhsm import PIN, Token

KEY = "5a17" * 16
KEYS = (
    {"label": "root", "id": "01", "value": KEY},
    {"label": "root", "id": "02", "value": "07" * 32},
)
SECRET = "/v1/secret/data/a"


@pytest.fixture
def token(folder: Path) -> Token:
    """A token with one key, whose value is known here."""
    made = Token(folder / "softhsm")
    made.change_keys(KEYS[0])
    return made


def hsm_agent(folder: Path, token: Token, workers: int = 1, **sections: Any) -> Agent:
    """Not started."""
    folder.mkdir(exist_ok=True)
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers}
    agent = served_agent(folder, {"server": server, "encryption": token.section(), **sections})
    agent.environment["SOFTHSM2_CONF"] = str(token.config)
    return agent


def initialize(agent: Agent) -> list[str]:
    """The recovery shares; there is a secret then."""
    made = put(agent, "/v1/sys/init", {"recovery_shares": 3, "recovery_threshold": 2})
    assert (made["keys"], made["keys_base64"]) == ([], [])
    assert len(made["recovery_keys"]) == 3
    agent.token = made["root_token"]
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    assert agent.call("POST", SECRET, {"data": {"a": 1}}).status == 200
    shares: list[str] = made["recovery_keys_base64"]
    return shares


def reads(agent: Agent) -> bool:
    """Whether the secret is there, at whichever process answers."""
    return all(agent.call("GET", SECRET).status == 200 for _ in range(6))


def status(agent: Agent) -> Any:
    """As anybody sees it."""
    return agent.call("GET", "/v1/sys/seal-status", token="").json


def helpers(agent: Agent) -> list[int]:
    """The helper processes of an agent."""
    assert agent.process is not None
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == agent.process.pid and b"root_keys.helper" in command:
            found.append(int(process.name))
    return found


@pytest.fixture
def agent(request: pytest.FixtureRequest, folder: Path, token: Token) -> Iterator[Agent]:
    """Started, with nothing in it."""
    made = hsm_agent(folder / "a", token, request.param)
    with running(made):
        yield made
        assert made.stop() == 0
        assert made.verify().returncode == 0
        assert "Traceback" not in made.output()


@pytest.mark.parametrize("agent", [1, 2], ids=["alone", "workers"], indirect=True)
def test_an_agent_unseals_itself_until_somebody_seals_it(agent: Agent, token: Token) -> None:
    """Init, restart, an ordered seal, recovery shares, other recovery shares, a root token."""
    new = status(agent)
    assert (new["type"], new["recovery_seal"], new["recovery_seal_type"]) == (
        "pkcs11",
        True,
        "shamir",
    )
    refused = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    assert refused.status == 400
    assert refused.json["errors"] == [
        "parameters secret_shares,secret_threshold not applicable to seal type pkcs11"
    ]
    shares = initialize(agent)
    agent.stop()
    agent.start()
    assert reads(agent)
    assert (status(agent)["n"], status(agent)["t"], status(agent)["sealed"]) == (3, 2, False)
    assert agent.call("PUT", "/v1/sys/seal").status == 204
    agent.stop()
    agent.start()
    assert status(agent)["sealed"]
    assert "waiting" not in status(agent)
    for share in shares[1:]:
        put(agent, "/v1/sys/unseal", {"key": share})
    assert reads(agent)
    begun = put(
        agent, "/v1/sys/rekey-recovery-key/init", {"secret_shares": 1, "secret_threshold": 1}
    )
    for share in shares[:2]:
        done = put(
            agent, "/v1/sys/rekey-recovery-key/update", {"key": share, "nonce": begun["nonce"]}
        )
    assert put_refused(agent, "/v1/sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1})
    begun = put(agent, "/v1/sys/generate-root/attempt", {}, token="")
    body = {"nonce": begun["nonce"], "key": shares[0]}
    assert put_refused(agent, "/v1/sys/generate-root/update", body)
    body["key"] = done["keys_base64"][0]
    made = put(agent, "/v1/sys/generate-root/update", body, token="")
    agent.token = unmasked(made["encoded_token"], begun["otp"])
    assert reads(agent)


def put_refused(agent: Agent, path: str, body: object) -> bool:
    """Whether it is the caller's fault."""
    answer: Answer = agent.call("PUT", path, body)
    return answer.status == 400


@pytest.mark.parametrize("agent", [2], indirect=True)
def test_the_key_on_the_token_is_rotated_while_the_agent_serves(
    agent: Agent, token: Token, folder: Path
) -> None:
    """The former version is not needed any more; without a newer one nothing changes."""
    initialize(agent)
    assert agent.call("POST", "/api/v1/system/rotate-root").status == 409
    token.change_keys(KEYS[1])
    told = freehold(
        "operator", "rotate-root", "--output", "json",
        environment={"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert '"version": "02"' in told.stdout
    assert '"previous_version": "01"' in told.stdout
    assert reads(agent)
    token.change_keys({"label": "root", "id": "01", "delete": True})
    agent.stop()
    agent.start()
    assert reads(agent)


@pytest.mark.parametrize("agent", [1], indirect=True)
def test_a_provider_that_is_away(agent: Agent, token: Token, folder: Path) -> None:
    """An open agent goes on, whatever becomes of its helper; a sealed one says what is missing."""
    initialize(agent)
    (helper,) = helpers(agent)
    away = token.store.rename(folder / "away")
    os.kill(helper, signal.SIGKILL)
    assert reads(agent)
    agent.stop()
    agent.start()
    ready = agent.call("GET", "/health/ready")
    assert (ready.status, ready.json["status"]) == (503, "sealed")
    assert "key provider hsm (pkcs11), since 20" in ready.json["reason"]
    assert "key_provider_unreachable" in status(agent)["waiting"]
    assert "vault_key_provider_failing 1.0" in agent.call("GET", "/metrics").body.decode()
    away.rename(token.store)
    await_true(lambda: agent.call("GET", "/health/ready").status == 200)
    assert reads(agent)
    await_true(lambda: b"vault_key_provider_failing 0.0" in agent.call("GET", "/metrics").body)


@pytest.mark.parametrize("agent", [1], indirect=True)
def test_a_backup_is_opened_by_the_provider(agent: Agent, token: Token, folder: Path) -> None:
    """Without an agent, with its configuration; recovery shares open none, and it is said."""
    initialize(agent)
    agent.stop()
    config, backups = str(folder / "a" / "vault.yaml"), folder / "backups"
    environment = {"SOFTHSM2_CONF": str(token.config)}
    made = freehold(
        "backup", "create", str(backups), "--config", config, "--output", "json",
        environment=environment,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    backup = json.loads(made.stdout)["id"]
    for given in (["--config", config], []):
        told = freehold("backup", "validate", str(backups), backup, *given, environment=environment)
        assert (told.returncode == 0) is bool(given), told.stderr
    assert "recovery shares open nothing" in told.stderr


@pytest.mark.parametrize("agent", [2], indirect=True)
def test_the_key_of_the_token_is_nowhere_else(agent: Agent, token: Token, folder: Path) -> None:
    """Not in memory, not on disk; nor is the PIN. The helper ends with an agent that is killed."""
    initialize(agent)
    assert agent.process is not None
    (helper,) = helpers(agent)
    family = [pid for pid in process_tree(agent.process.pid) if pid != helper]
    needles = {"key": bytes.fromhex(KEY), "PIN": PIN.encode()}
    assert all(needle in memory_of(os.getpid()) for needle in needles.values())  # here they are
    for pid in family:
        memory = memory_of(pid)
        assert [name for name, needle in needles.items() if needle in memory] == []
    for content in contents(folder / "a"):
        assert [name for name, needle in needles.items() if needle in content] == []
    agent.kill()
    await_true(lambda: not Path(f"/proc/{helper}").exists())


def contents(folder: Path) -> Iterator[bytes]:
    """Of all files of an agent that runs, which removes some of its own."""
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if file.is_file():
                yield file.read_bytes()


def memory_of(pid: int) -> bytes:
    """All that a process may write to."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode, *_ = line.split()
            if not mode.startswith("rw"):
                continue
            begin, end = (int(number, 16) for number in place.split("-"))
            try:
                memory.seek(begin)
                found.append(memory.read(end - begin))
            except (OSError, OverflowError, ValueError):  # what the kernel keeps for itself
                continue
    return b"".join(found)


def test_agents_that_share_a_database_unseal_by_one_token(
    postgresql_server: Server, folder: Path, token: Token
) -> None:
    """One that was started before there was a vault opens it, too; and so does a later one."""
    url = postgresql_server.empty()
    storage = {"type": "postgresql", "connection_string": url}
    one, two = (hsm_agent(folder / name, token, storage=storage) for name in "ab")
    with running(one), running(two):
        initialize(one)
        two.token = one.token
        await_true(lambda: not status(two)["sealed"])
        assert reads(two)
        assert two.stop() == 0
        two.start()
        assert reads(two)
        token.change_keys(KEYS[1])
        assert two.call("POST", "/api/v1/system/rotate-root").status == 200
        token.change_keys({"label": "root", "id": "01", "delete": True})
        assert reads(one)
        assert one.stop() == 0
        one.start()
        assert reads(one)
