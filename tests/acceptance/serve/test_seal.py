"""Production with Shamir: initialise, unseal with shares, seal, and everything done wrong."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.command import freehold

pytestmark = pytest.mark.usefixtures("workers")

SECRET = "/v1/secret/data/app"
READS = ("/v1/secret/data/app", "/api/v1/secrets/secret/app", "/api/v1/secrets", "/v1/sys/mounts")


def initialise(agent: Agent, shares: int = 5, threshold: int = 3) -> list[str]:
    """The shares; the agent's clients have the root token from now on."""
    body = {"secret_shares": shares, "secret_threshold": threshold}
    made = agent.call("PUT", "/v1/sys/init", body)
    assert made.status == 200
    agent.token = made.json["root_token"]
    keys: list[str] = made.json["keys"]
    return keys


def offer(agent: Agent, share: object) -> tuple[int, Any]:
    """Status and body of offering one share."""
    answer = agent.call("PUT", "/v1/sys/unseal", {"key": share}, token="")
    return answer.status, answer.json


def unseal(agent: Agent, shares: list[str]) -> None:
    """Offer enough shares."""
    for share in shares:
        assert offer(agent, share)[0] == 200
    assert health(agent) == 200


def health(agent: Agent) -> int:
    """What a load balancer sees."""
    return agent.call("GET", "/v1/sys/health", token="").status


def furnish(agent: Agent) -> None:
    """KV version 2 at `secret/`, and a secret in it."""
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    assert agent.call("POST", SECRET, {"data": {"a": 1}}).status == 200


def need_shut(agent: Agent, why: str = "sealed") -> None:
    """No read, write or seal gets further than why not."""
    for path in READS:
        answer = agent.call("GET", path, token="any")
        assert answer.status == 503
        assert why in answer.body.decode()
        assert answer.headers["retry-after"]
        assert answer.headers["connection"] == "close"  # others may serve whoever comes again
    assert agent.call("POST", SECRET, {"data": {}}).status == 503
    assert agent.call("GET", "/health/ready").status == 503
    assert agent.call("GET", "/health/live").status == 200


def test_a_new_vault_serves_nothing_and_is_initialised_once(folder: Path) -> None:
    """501 until init; afterwards init is refused, and numbers that make no sense always are."""
    with running(served_agent(folder)) as agent:
        assert health(agent) == 501
        need_shut(agent, "freehold operator init")
        assert offer(agent, "00" * 33)[0] == 400
        for shares, threshold in ((0, 0), (1, 2), (5, 0), (256, 2), (5, 1), (-1, -1)):
            body = {"secret_shares": shares, "secret_threshold": threshold}
            assert agent.call("PUT", "/v1/sys/init", body).status == 400
        assert health(agent) == 501
        initialise(agent)
        assert health(agent) == 503
        need_shut(agent)
        again = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        assert again.status == 400
        assert again.json == {"errors": ["Vault is already initialized"]}


def test_wrong_shares_do_not_open_and_leave_the_right_ones_good(folder: Path) -> None:
    """Too few, repeated, malformed, tampered and foreign: told, and the vault stays shut."""
    with own_folder() as elsewhere, running(served_agent(elsewhere)) as other:
        foreign = initialise(other)
    with running(served_agent(folder)) as agent:
        shares = initialise(agent)
        assert offer(agent, shares[0])[1]["progress"] == 1
        assert offer(agent, shares[0])[1]["progress"] == 1  # repeated: it counts once
        for bad in (
            "",
            "zz",
            "00",
            shares[1] + "00",
            shares[1][:-2],
            "é",
            "A" * 5000,
            5,
            ["a"],
            {},
        ):
            status, told = offer(agent, bad)
            assert status == 400
            assert str(shares[1]) not in str(told)
        assert offer(agent, shares[1])[1]["progress"] == 2  # the bad ones moved nothing
        tampered = shares[2][:10] + ("0" if shares[2][10] != "0" else "1") + shares[2][11:]
        for wrong in (tampered, foreign[2]):
            status, told = offer(agent, wrong)
            assert (status, health(agent)) == (400, 503), told
            assert agent.call("GET", "/v1/sys/seal-status").json["progress"] == 0  # start again
            assert [offer(agent, share)[1]["progress"] for share in shares[:2]] == [1, 2]
        assert agent.call("PUT", "/v1/sys/unseal", {"reset": True}).json["progress"] == 0
        unseal(agent, shares[2:])
        assert offer(agent, "any")[0] in {200, 400}
        assert health(agent) == 200


def test_sealing_shuts_at_once_and_unsealing_finds_everything(folder: Path) -> None:
    """Seal, unseal with other shares, seal and restart: the data is there each time."""
    agent = served_agent(folder)
    with running(agent):
        shares = initialise(agent)
        unseal(agent, shares[:3])
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        furnish(agent)
        assert agent.call("PUT", "/v1/sys/seal", token="wrong").status == 403
        assert health(agent) == 200
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        assert health(agent) == 503
        need_shut(agent)
        unseal(agent, [shares[0], shares[2], shares[4]])
        assert agent.call("GET", SECRET).json["data"]["data"] == {"a": 1}
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        assert agent.stop() == 0
        assert "Traceback" not in agent.output()
    with running(agent):
        need_shut(agent)
        unseal(agent, shares[1:4])
        assert agent.call("GET", SECRET).json["data"]["data"] == {"a": 1}
    assert agent.verify().returncode == 0


def test_a_second_process_on_the_same_data_is_refused(folder: Path) -> None:
    """It ends at once and says why; the first one serves on."""
    with running(served_agent(folder)) as agent:
        second = served_agent(folder)
        assert re.search("another process has the database open", second.refused_start())
        assert health(agent) == 501


def test_a_broken_configuration_is_one_line(folder: Path) -> None:
    """Unknown keys, a listener for all without TLS, no audit: refused at the start with the key."""
    for section, word in (
        ({"sever": {}}, "sever: is not a key"),
        ({"server": {"listen": "0.0.0.0:0", "tls": {"enabled": False}}}, "not loopback"),
        ({"audit": {"enabled": False}}, "audit.enabled"),
        ({"server": {"listen": "127.0.0.1:0", "tls": {"enabled": True}}}, "server.tls"),
    ):
        agent = served_agent(folder, section)
        refused = agent.refused_start()
        assert re.search(word, refused)
        assert "Traceback" not in refused


def test_an_older_database_stays_sealed_until_somebody_owns_up(folder: Path) -> None:
    """The last share is answered with why; once it is accepted the same running agent opens."""
    agent = served_agent(folder)
    with running(agent):
        shares = initialise(agent, 2, 2)
        unseal(agent, shares)
        furnish(agent)
    older = (folder / "vault.db").read_bytes()
    with running(agent):
        unseal(agent, shares)
        assert agent.call("POST", SECRET, {"data": {"a": 2}}).status == 200
    (folder / "vault.db").write_bytes(older)
    with running(agent):
        assert offer(agent, shares[0])[0] == 200
        status, body = offer(agent, shares[1])
        assert status == 503
        assert "accept-rollback" in body["errors"][0]
        assert health(agent) == 503
        need_shut(agent)
        config = str(folder / "vault.yaml")
        words = ("operator", "accept-rollback", "--config", config, "--reason", "a restore")
        assert freehold(*words).returncode == 0
        unseal(agent, shares)
        assert agent.call("GET", SECRET).json["data"]["data"] == {"a": 1}
        assert agent.call("POST", SECRET, {"data": {"a": 3}}).status == 200
    with running(agent):
        unseal(agent, shares)
