"""An agent and a control plane, both as processes, over real TLS."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, dev_agent, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.leaks import files, found, frames, memory
from tests.support.polling import await_value

pytestmark = pytest.mark.usefixtures("workers")

BASE = "organizations/acme"
CANARY = "canary-5f1d0c9a-value"
PATIENCE = 120  # seconds; a machine that is busy with other tests is slow


def until(holds: Callable[[], object]) -> None:
    """Wait for something that two other processes bring about."""
    await_value(holds, PATIENCE)


def enrolled(plane: Plane, vault: str, *where: str) -> None:
    """Let the agent of these settings in by a token."""
    made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": vault})
    control = f"https://127.0.0.1:{plane.link_port}"
    done = freehold(
        "agent", "enrol", "--control", control, "--pin", made["pin"], "--token", made["secret"],
        *where,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def pushed(plane: Plane, name: str, document: dict[str, Any]) -> None:
    """Roll a policy out to every agent."""
    plane.want(201, "POST", f"{BASE}/policies/{name}/versions", {"document": document})
    plane.want(200, "PUT", f"{BASE}/policies/{name}/targets", {"targets": [{"all": True}]})
    plane.want(201, "POST", f"{BASE}/policies/{name}/rollouts", {"version": 1})


def test_an_agent_enrols_links_and_obeys_within_its_ceiling(folder: Path) -> None:
    """Token, link, a bundle applied, nothing granted without a ceiling, all of it on the ledger."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane, agent = dev_plane(folder / "plane"), dev_agent(folder / "agent")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "one", "--data-dir", str(agent.data))
        with running(agent):
            link = "/api/v1/system/link"
            until(lambda: agent.call("GET", link).json["state"] == "online")
            agent.call("POST", "/v1/secret/data/app", {"data": {"password": CANARY}})
            rule = {"effect": "deny", "paths": ["secret/*"], "capabilities": ["read"]}
            pushed(plane, "default", {"rules": [rule]})
            until(lambda: agent.call("GET", link).json["policy_version"] == 1)
            until(
                lambda: plane.want(200, "GET", f"{BASE}/agents/one/policy")["outcome"] == "applied"
            )
        shown = freehold("-o", "json", "agent", "egress", "list", "--data-dir", str(agent.data),
                         "--limit", "0")  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        says = [entry["says"] for entry in json.loads(shown.stdout)]
        assert any(line.startswith("registration") for line in says)
        assert any(line.startswith("policy_status") for line in says)
        said = frames(agent.data / "uplink")
        assert b"registration" in said
        assert found({"the value": CANARY}, "what was sent", [said]) == set()


def test_a_sealed_or_abandoned_agent_goes_on(folder: Path) -> None:
    """With a ceiling: cosigned, linked while sealed, serving and restarted without the plane."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    ceiling = folder / "ceiling.json"
    allow = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read", "list"]}
    ceiling.write_text(json.dumps({"rules": [allow]}))
    section = {
        "enabled": True,
        "ceiling": str(ceiling),
        "checkpoint_interval": "1s",
        "heartbeat_interval": "1s",
    }
    agent = served_agent(folder / "agent", {"control_plane": section})
    config = str(folder / "agent" / "vault.yaml")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "two", "--config", config)
        agent.start()
        shares = initialised(agent)
        # Sealed: linked, and said so.
        until(lambda: plane.want(200, "GET", f"{BASE}/agents/two")["presence"] == "online")
        opened(agent, shares)
        status = partial(link, agent)
        until(lambda: status()["state"] == "online")
        agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        agent.call("POST", "/v1/secret/data/app", {"data": {"password": CANARY}})
        made = agent.call("POST", "/v1/auth/token/create", {"policies": ["reader"]})
        reader = made.json["auth"]["client_token"]
        assert agent.call("GET", "/v1/secret/data/app", token=reader).status == 403
        wide = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
        pushed(plane, "reader", {"rules": [wide]})
        until(lambda: status()["policy_version"] == 1)
        until(lambda: status()["cosigned_size"] > 0)
        needed(agent, reader)
        seen = {"checkpoint": "freehold.audit/"}  # of what it cosigned: the search sees
        assert "checkpoint in memory, clear" in found(seen, "memory", memory(plane))
        secrets = {"value": CANARY, "root": agent.token, "reader": reader}
        assert found(secrets, "memory", memory(plane)) == set()
        agent.stop()
    # The control plane is gone: a cold start, and the last bundle still holds.
    agent.start()
    opened(agent, shares)
    needed(agent, reader)
    until(lambda: link(agent)["state"] == "queueing")
    shown = freehold("-o", "json", "agent", "egress", "verify", "--config", config)
    assert json.loads(shown.stdout)["entries"] > 0
    agent.stop()
    assert agent.verify().returncode == 0
    assert found(secrets, "files", files(folder / "plane")) == set()


def initialised(agent: Agent) -> list[str]:
    """Its shares; the agent's clients are root from now on."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
    agent.token = made["root_token"]
    keys: list[str] = made["keys"]
    return keys


def opened(agent: Agent, shares: list[str]) -> None:
    """Unsealed."""
    for share in shares:
        assert agent.call("PUT", "/v1/sys/unseal", {"key": share}, token="").status == 200


def link(agent: Agent) -> Any:
    """How it stands with its control plane."""
    return agent.call("GET", "/api/v1/system/link").json


def needed(agent: Agent, reader: str) -> None:
    """The bundle says everything; the ceiling leaves reading secrets."""
    assert agent.call("GET", "/v1/secret/data/app", token=reader).status == 200
    for path in ("/api/v1/policies", "/api/v1/system/key-status"):
        assert agent.call("GET", path, token=reader).status == 403
    body = {"data": {"password": "other"}}
    assert agent.call("POST", "/v1/secret/data/app", body, token=reader).status == 403
