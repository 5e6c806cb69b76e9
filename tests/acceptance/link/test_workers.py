"""A bundle that is pushed to an agent of several processes: all of them enforce it at once."""

from pathlib import Path
from typing import Any

from tests.acceptance.agent import Client, running
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.estate import BASE, LINK, until
from tests.acceptance.link.test_agent import enrolled
from tests.acceptance.workers.fleet import fleet_agent, pinned

READ = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
ALL = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
DENY = {"effect": "deny", "paths": ["secret/*"], "capabilities": ["read"]}
APP = "/v1/secret/data/app"
ROUNDS = 3


def test_every_worker_enforces_a_pushed_bundle_at_once(folder: Path) -> None:
    """From the moment that it is told as in force no worker answers by the one before.

    It is pushed, taken back and pushed again, and each time the workers are asked at once.
    """
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane, agent = dev_plane(folder / "plane"), fleet_agent(folder / "agent")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "many", "--data-dir", str(agent.data))
        with running(agent):
            agent.call("POST", APP, {"data": {"value": "1"}})
            made = agent.call("PUT", "/api/v1/policies/reader", {"rules": [READ]})
            assert made.status < 300, made.body
            token = agent.call("POST", "/v1/auth/token/create", {"policies": ["reader"]})
            reader = token.json["auth"]["client_token"]
            with pinned(agent) as roots, pinned(agent, reader) as readers:
                assert answers(readers) == [200, 200]
                for version in range(1, ROUNDS + 1):
                    forbids = version % 2 == 1
                    pushed(plane, version, [DENY] if forbids else [])
                    in_force(roots[version % 2], version)
                    assert answers(readers) == [403 if forbids else 200] * 2, version


def test_the_owner_drops_the_policies_at_every_worker(folder: Path) -> None:
    """With the control plane gone, by one command; nothing of them is left after a restart."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane, agent = dev_plane(folder / "plane"), fleet_agent(folder / "agent")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "many", "--data-dir", str(agent.data))
        with running(agent):
            agent.call("POST", APP, {"data": {"value": "1"}})
            agent.call("PUT", "/api/v1/policies/reader", {"rules": [READ]})
            token = agent.call("POST", "/v1/auth/token/create", {"policies": ["reader"]})
            reader = token.json["auth"]["client_token"]
            agent.call("PUT", "/api/v1/policies/all", {"rules": [ALL]})
            token = agent.call("POST", "/v1/auth/token/create", {"policies": ["all", "reader"]})
            bound = token.json["auth"]["client_token"]
            pushed(plane, 1, [DENY])
            with pinned(agent) as roots, pinned(agent, reader) as readers:
                for worker in roots:
                    in_force(worker, 1)
                assert answers(readers) == [403, 403]
                refused = agent.call("DELETE", f"{LINK}/policies", token=bound)
                assert (refused.status, refused.json["code"]) == (403, "denial_lifted")
                assert answers(readers) == [403, 403]
    with running(agent):
        told = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}
        asked = freehold("agent", "link", "policy", "reset", stdin="n\n", environment=told)
        assert asked.returncode != 0
        assert "bundle version 1 of acme/many is in force" in asked.stderr
        assert "reader: rules that allow: 0, that deny: 1" in asked.stderr
        with pinned(agent) as roots, pinned(agent, reader) as readers:
            assert answers(readers) == [403, 403]
            done = freehold("agent", "link", "policy", "reset", "--yes", environment=told)
            assert done.returncode == 0, done.stderr
            assert answers(readers) == [200, 200]
            for worker in roots:
                in_force(worker, 0)
        assert agent.audit_log.read_bytes().count(b'"fleet.reset"') == 4  # intents and outcomes
        again = freehold("agent", "link", "policy", "reset", "--yes", environment=told)
        assert (again.returncode, "nothing to drop" in again.stderr) == (0, True)
    with running(agent):
        assert agent.call("GET", LINK).json["policy_version"] == 0
        assert agent.call("GET", APP, token=reader).status == 200


def answers(clients: list[Client]) -> list[int]:
    """What each worker says to a read."""
    return [client.call("GET", APP).status for client in clients]


def pushed(plane: Plane, version: int, rules: list[dict[str, Any]]) -> None:
    """The policy's next version, to everybody."""
    path = f"{BASE}/policies/reader"
    plane.want(201, "POST", f"{path}/versions", {"document": {"rules": rules}})
    plane.want(200, "PUT", f"{path}/targets", {"targets": [{"all": True}]})
    body = {"version": version}
    until(lambda: plane.ask("POST", f"{path}/rollouts", body).status == 201, "it is rolled out")


def in_force(told: Client, version: int) -> None:
    """Wait until this worker says so."""
    until(lambda: told.call("GET", LINK).json["policy_version"] == version, "it is in force")
