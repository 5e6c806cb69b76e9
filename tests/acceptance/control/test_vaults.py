"""Two agents of one vault, as processes: the control plane shows one vault with two nodes.

The second agent has a copy of the first one's data folder, and so the same vault's id.
"""

from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.test_agent import enrolled, initialised, opened, until

BASE = "organizations/acme"
SECTION = {
    "enabled": True,
    **dict.fromkeys(("heartbeat_interval", "metrics_interval", "usage_interval"), "1s"),
}


def node(folder: Path, name: str) -> Agent:
    """Not started."""
    (folder / name).mkdir()
    return served_agent(folder / name, {"control_plane": SECTION})


def vaults(plane: Plane) -> list[dict[str, Any]]:
    """As the control plane lists them."""
    found: list[dict[str, Any]] = plane.want(200, "GET", f"{BASE}/vaults")
    return found


def test_two_agents_of_a_vault_are_its_nodes(folder: Path) -> None:
    """One vault in the list, its secrets counted once; offline only when both are away."""
    (folder / "plane").mkdir()
    plane = dev_plane(folder / "plane", "--heartbeat", "2s", "--offline-after", "8s")
    one, two = node(folder, "web-1"), node(folder, "web-2")
    with running(one):
        shares = initialised(one)
        opened(one, shares)
        one.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        for name in ("a", "b", "c"):
            one.call("POST", f"/v1/secret/data/{name}", {"data": {"password": "p"}})
    own = ignore_patterns("vault.yaml", "uplink", "*.sock", "*.pid")
    copytree(one.folder, two.folder, dirs_exist_ok=True, ignore=own)
    two.token = one.token
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        for agent in (one, two):
            enrolled(plane, agent.folder.name, "--config", str(agent.folder / "vault.yaml"))
        with running(one):
            opened(one, shares)
            with running(two):
                opened(two, shares)
                until(lambda: [vault["state"] for vault in vaults(plane)] == ["online"])
                [vault] = vaults(plane)
                assert [each["vault"] for each in vault["nodes"]] == ["web-1", "web-2"]
                assert vault["vault"] == "web-1"
                status = one.call("GET", "/v1/sys/seal-status").json
                assert vault["id"] == status["cluster_id"]
                usage = f"{BASE}/usage"
                until(lambda: plane.want(200, "GET", usage)["agents"] == 2)
                assert plane.want(200, "GET", usage)["secrets"]["total"] == 3
                [joined] = [
                    alert for alert in plane.want(200, "GET", f"{BASE}/alerts")
                    if alert["code"] == "vault_joined"
                ]  # fmt: skip
                assert joined["severity"] == "warning"
            until(lambda: vaults(plane)[0]["state"] == "partial")
            until(lambda: plane.want(200, "GET", f"{BASE}/alerts?text=heard"))
            [gone] = plane.want(200, "GET", f"{BASE}/alerts?text=heard")
            assert (gone["vault"], gone["severity"]) == ("web-2", "critical")
            assert gone["message"].endswith("its vault is served by web-1")
        until(lambda: vaults(plane)[0]["state"] == "offline")
        nodes = plane.want(200, "GET", f"{BASE}/agents?vault_id={vault['id']}")
        assert [row["vault"] for row in nodes] == ["web-1", "web-2"]
