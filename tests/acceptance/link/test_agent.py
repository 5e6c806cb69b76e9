"""An agent and a control plane, both as processes, over real TLS."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, dev_agent, freehold, running
from tests.acceptance.control.plane import Plane, dev_plane

BASE = "organizations/acme"
CANARY = "canary-5f1d0c9a-value"


def until(holds: Callable[[], object]) -> None:
    """Wait for something that two other processes bring about."""
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about within 30 s")


def enrolled(plane: Plane, agent: Agent, vault: str) -> None:
    """Let the agent in by a token."""
    made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": vault})
    control = f"https://127.0.0.1:{plane.link_port}"
    done = freehold(
        "agent", "enrol", "--control", control, "--pin", made["pin"], "--token", made["secret"],
        "--data-dir", str(agent.data),
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
        enrolled(plane, agent, "one")
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
        shown = freehold("-o", "json", "agent", "egress", "show", "--data-dir", str(agent.data),
                         "--limit", "0")  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        says = [entry["says"] for entry in json.loads(shown.stdout)]
        assert any(line.startswith("registration") for line in says)
        assert any(line.startswith("policy_status") for line in says)
        assert CANARY not in shown.stdout
