"""A candidate is held against agents' pasts before it is rolled out: real processes, real TLS."""

import json
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, dev_agent, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.test_agent import BASE, enrolled, pushed, until

READ = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
DENY = {"rules": [{"effect": "deny", "paths": ["secret/payroll/*"], "capabilities": ["read"]}]}
SECRET = "payroll/ann"


def used(agent: Agent) -> str:
    """Reads by a token with the policy `readers`, of which three are of the payroll."""
    until(lambda: agent.call("GET", "/api/v1/system/link").json["state"] == "online")
    agent.call("PUT", "/api/v1/policies/readers", {"rules": [READ]})
    for name in ("app", SECRET):
        agent.call("POST", "/api/v1/secrets", {"name": f"secret/{name}", "value": "x"})
    made = agent.call("POST", "/api/v1/tokens", {"policies": ["readers"]}).json
    token: str = made["token"]
    for name in ("app", "app", SECRET, SECRET, SECRET):
        assert agent.call("GET", f"/api/v1/secrets/secret/{name}", token=token).status == 200
    return token


def asked(plane: Plane, **body: Any) -> Any:
    """A replay of the draft for everybody."""
    wanted = {"document": DENY, "targets": [{"all": True}], **body}
    return plane.want(201, "POST", f"{BASE}/policies/readers/replays", wanted)


def states(plane: Plane, id_: str) -> dict[str, str]:
    """Agent → how far it is."""
    found = plane.want(200, "GET", f"{BASE}/replays/{id_}")
    return {one["vault"]: one["state"] for one in found["agents"]}


def presence(plane: Plane, vault: str) -> str:
    """Whether it is heard."""
    found: str = plane.want(200, "GET", f"{BASE}/agents/{vault}")["presence"]
    return found


def test_what_would_have_changed_is_told_before_a_roll_out(folder: Path) -> None:
    """One agent tells, one's owner refuses, one is away; what is predicted happens afterwards.

    What leaves the agent are numbers: its ledger has the answer, and no name is in it.
    """
    for name in ("plane", "one", "two"):
        (folder / name).mkdir()
    plane = dev_plane(folder / "plane")
    one = dev_agent(folder / "one")
    two = served_agent(folder / "two", {"control_plane": {"enabled": True, "share_replays": "off"}})
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "one", "--data-dir", str(one.data))
        enrolled(plane, "two", "--config", str(folder / "two" / "vault.yaml"))
        with running(one):
            token = used(one)
            with running(two):
                until(lambda: presence(plane, "two") == "online")  # sealed, and linked
                id_ = asked(plane)["id"]
                until(lambda: states(plane, id_) == {"one": "done", "two": "refused"})
            found = plane.want(200, "GET", f"{BASE}/replays/{id_}")
            assert (found["open"], found["denied"], found["allowed"]) == (False, 3, 0)
            (told,) = [row for row in found["agents"] if row["vault"] == "one"]
            assert (told["denied"], told["drifted"], told["undecided"]) == (3, 0, {})
            assert told["unchanged"] == told["accesses"] - 3
            assert told["changes"] == []

            later = asked(plane)["id"]
            until(lambda: states(plane, later)["one"] == "done")
            assert states(plane, later)["two"] == "waiting"
            with running(two):  # it comes back in time
                until(lambda: states(plane, later)["two"] == "refused")

            (event, *_) = one.call("GET", "/api/v1/audit/events?operation=policy.replay").json[
                "events"
            ]
            assert (event["actor_id"], event["result"]) == ("service:control-plane", "ok")
            pushed(plane, "readers", DENY)
            until(lambda: one.call("GET", "/api/v1/system/link").json["policy_version"] == 1)
            reads = [
                one.call("GET", f"/api/v1/secrets/secret/{name}", token=token).status
                for name in ("app", SECRET)
            ]
            assert reads == [200, 403]
        shown = freehold(
            "-o", "json", "agent", "egress", "list", "--data-dir", str(one.data), "--limit", "0"
        )
        says = [entry["says"] for entry in json.loads(shown.stdout)]
        assert any(line.startswith("replay_result") for line in says)
        assert "payroll" not in shown.stdout


GUESSES: dict[str, dict[str, Any]] = {
    "tags": {"type": "tags", "any": ["payroll"]},
    "metadata": {"type": "metadata", "key": "owner", "equals": "ann"},
    "networks": {"type": "source_network", "networks": ["127.0.0.0/8"]},
}


def test_a_candidate_does_not_find_out_what_a_secret_says(folder: Path) -> None:
    """Guesses at tags, metadata and networks are not decided, unless the agent's owner says so."""
    agents = {}
    for name, facts in (("shut", []), ("open", list(GUESSES))):
        (folder / name).mkdir()
        section = {"enabled": True, "heartbeat_interval": "1s", "replay_facts": facts}
        key = {"key_management": "file", "key_file": str(folder / name / "root.key")}
        config = {"control_plane": section, "encryption": key}
        agents[name] = served_agent(folder / name, config)
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        for name in agents:
            enrolled(plane, name, "--config", str(folder / name / "vault.yaml"))
        with running(agents["shut"]) as shut, running(agents["open"]) as known:
            for agent in (shut, known):
                furnished(agent)
            for guess in GUESSES.values():
                rule = {**DENY["rules"][0], "conditions": [guess]}
                id_ = asked(plane, document={"rules": [rule]})["id"]
                until(lambda id_=id_: set(states(plane, id_).values()) == {"done"})
                rows = plane.want(200, "GET", f"{BASE}/replays/{id_}")["agents"]
                told = {row["vault"]: (row["denied"], row["undecided"]) for row in rows}
                assert told == {"shut": (0, {"secret_changed": 3}), "open": (3, {})}, guess


def furnished(agent: Agent) -> None:
    """Open, with a secret that three reads of a token of `readers` were of."""
    shares = {"secret_shares": 1, "secret_threshold": 1}
    agent.token = agent.call("PUT", "/v1/sys/init", shares).json["root_token"]
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    agent.call("PUT", "/api/v1/policies/readers", {"rules": [READ]})
    body = {"name": f"secret/{SECRET}", "value": "x", "tags": ["payroll"],
            "metadata": {"owner": "ann"}}  # fmt: skip
    assert agent.call("POST", "/api/v1/secrets", body).status == 201
    token = agent.call("POST", "/api/v1/tokens", {"policies": ["readers"]}).json["token"]
    for _ in range(3):
        assert agent.call("GET", f"/api/v1/secrets/secret/{SECRET}", token=token).status == 200
    until(lambda: agent.call("GET", "/api/v1/system/link").json["state"] == "online")
