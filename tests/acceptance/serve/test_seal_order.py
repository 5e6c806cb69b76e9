"""A seal that somebody ordered: only a person with the root key ends it, and no restart does."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import ROOT_TOKEN, Agent, dev_agent, running, served_agent
from tests.acceptance.command import freehold

NOBODY = {"token": ""}
FOREIGN = (
    {"Origin": "https://evil.example", "Content-Type": "text/plain"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


def with_key_file(folder: Path, workers: int) -> Agent:
    """A vault that unseals by itself, not started."""
    config: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
    }
    return served_agent(folder, config)


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Iterator[Agent]:
    """Initialised and open; its clients have the root token."""
    with running(with_key_file(folder, request.param)) as found:
        made = found.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        found.token = made.json["root_token"]
        assert health(found) == 200
        yield found


def health(agent: Agent) -> int:
    """What a load balancer sees."""
    return agent.call("GET", "/v1/sys/health", **NOBODY).status


def restart(agent: Agent, *, kill: bool = False) -> None:
    """End it, orderly or not, and start it again."""
    if kill:
        agent.kill()
    else:
        assert agent.stop() == 0
    agent.start()


def unseal(agent: Agent) -> str:
    """As the operator on the agent's machine does; what was told."""
    config = str(agent.folder / "vault.yaml")
    words = ("--address", agent.address, "operator", "unseal", "--config", config)
    done = freehold(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", ["/v1/sys/seal", "/api/v1/system/seal"])
def test_nobody_undoes_it_without_the_key(agent: Agent, path: str) -> None:
    """No request without the root key does, from wherever, with whatever credential."""
    assert agent.call("POST", path).status == 204
    for body in (None, {}, {"key": ""}, {"key": "00" * 32}, {"reset": True}, b"x"):
        for token in ("", "wrong", agent.token):
            agent.call("POST", "/v1/sys/unseal", body, token=token)
            assert health(agent) == 503, (body, token)
    for headers in FOREIGN:
        answer = agent.call("POST", "/v1/sys/unseal", b"{}", headers=headers, **NOBODY)
        assert answer.status == 403
    assert health(agent) == 503
    assert "false" in unseal(agent)
    assert health(agent) == 200
    unsealed = [line for line in agent.audit_log.read_text().splitlines() if "sys.unseal" in line]
    assert '"actor_name":"operator"' in unsealed[-1]
    assert '"actor_name":"service:file"' in unsealed[0]
    assert agent.stop() == 0
    assert agent.verify().returncode == 0


def test_no_restart_ends_it(agent: Agent) -> None:
    """Orderly or killed, as often as you like; and once a person has, a start unseals again."""
    assert agent.call("POST", "/v1/sys/seal").status == 204
    for kill in (True, False, True):
        restart(agent, kill=kill)
        assert health(agent) == 503
        assert "sealed on order" in agent.output()
    key = b64encode((agent.folder / "root.key").read_bytes()).decode()
    answer = agent.call("PUT", "/v1/sys/unseal", {"key": key}, **NOBODY)
    assert answer.json["sealed"] is False
    restart(agent, kill=True)
    assert health(agent) == 200


def test_an_ordinary_stop_is_no_order(agent: Agent) -> None:
    """Whatever ended the process: nobody has sealed it, so that it unseals by itself."""
    for kill in (False, True):
        restart(agent, kill=kill)
        assert health(agent) == 200


def test_the_order_cannot_be_edited_out_of_the_database(agent: Agent, folder: Path) -> None:
    """An older copy of the database has no order in it, and the anchor tells that it is older."""
    assert agent.stop() == 0
    older = (folder / "vault.db").read_bytes()
    agent.start()
    assert agent.call("POST", "/v1/sys/seal").status == 204
    agent.kill()
    for name in ("vault.db", "vault.db-wal", "vault.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "vault.db").touch(mode=0o600)
    (folder / "vault.db").write_bytes(older)
    assert "commit" in agent.refused_start()
    reason = ("--reason", "somebody put back an older database")
    config = str(folder / "vault.yaml")
    assert freehold("operator", "accept-rollback", "--config", config, *reason).returncode == 0
    agent.start()
    assert health(agent) == 503  # that the order is older than the copy is no end of it
    assert "false" in unseal(agent)


@pytest.mark.parametrize("anchor", ["older", "gone"])
def test_no_acceptance_undoes_it_without_the_key(agent: Agent, folder: Path, anchor: str) -> None:
    """With database and anchor of before nothing tells of the order: so it takes a person again."""
    names = ("vault.db", "vault.anchor")
    assert agent.stop() == 0
    older = {name: (folder / name).read_bytes() for name in names}
    agent.start()
    assert agent.call("POST", "/v1/sys/seal").status == 204
    agent.kill()
    for name in ("vault.db-wal", "vault.db-shm"):
        (folder / name).unlink(missing_ok=True)
    for name in names:
        (folder / name).write_bytes(older[name])
    if anchor == "gone":
        (folder / "vault.anchor").unlink()
    assert "operator accept-rollback" in agent.refused_start()
    accept = {"time": time.time_ns(), "reason": "written by hand"}
    (folder / "vault.anchor.accept").write_text(json.dumps(accept))
    for _ in range(2):  # and the acceptance is not used up by that
        agent.start()
        assert health(agent) == 503
        assert "takes a person with the root key" in agent.output()
        assert "operator unseal --config FILE" in agent.output()
        assert agent.stop() == 0
    agent.start()
    assert "false" in unseal(agent)
    assert health(agent) == 200
    assert not (folder / "vault.anchor.accept").exists()
    restart(agent)
    assert health(agent) == 200


def test_a_development_agent_keeps_to_it(folder: Path) -> None:
    """`agent dev` has a key file, too."""
    with running(dev_agent(folder)) as agent:
        assert agent.call("POST", "/v1/sys/seal").status == 204
        restart(agent)
        assert health(agent) == 503
        key = (agent.data / "root.key").read_bytes().hex()
        assert agent.call("PUT", "/v1/sys/unseal", {"key": key}, **NOBODY).status == 200
        assert agent.call("GET", "/v1/sys/mounts", token=ROOT_TOKEN).status == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_other_site_makes_a_vault(folder: Path, headers: dict[str, str]) -> None:
    """Whoever makes a vault has its shares: a page that a browser shows must not."""
    with running(with_key_file(folder, 1)) as agent:
        body = b'{"secret_shares": 1, "secret_threshold": 1}'
        assert agent.call("POST", "/v1/sys/init", body, headers=headers).status == 403
        assert health(agent) == 501
