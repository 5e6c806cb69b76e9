"""A real agent's backups at a real control plane: made on command, shown, also while sealed."""

from pathlib import Path
from typing import Any

from tests.acceptance.agent import running, served_agent
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.test_agent import enrolled, initialised, opened, until

BASE = "organizations/acme"


def test_a_backup_is_made_on_command_and_shown(folder: Path) -> None:
    """The owner allowed it; the vault's row has it, also once the vault is sealed."""
    for name in ("plane", "agent", "kept"):
        (folder / name).mkdir()
    plane = dev_plane(folder / "plane")
    section = {"enabled": True, "heartbeat_interval": "1s", "allow_commands": ["run_backup"]}
    destination = {"type": "local", "name": "disk", "path": str(folder / "kept")}
    backup = {"enabled": True, "schedule": "0 0 1 1 *", "destinations": [destination]}
    agent = served_agent(folder / "agent", {"control_plane": section, "backup": backup})
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "v", "--config", str(agent.folder / "vault.yaml"))

        def shown() -> dict[str, Any]:
            [vault] = plane.want(200, "GET", f"{BASE}/vaults")
            return vault["backup"] or {}

        with running(agent):
            opened(agent, initialised(agent))
            until(lambda: shown().get("count", 0) >= 1)  # the first one is due at once
            count = shown()["count"]
            path = f"{BASE}/agents/v/commands"
            plane.want(201, "POST", path, {"command": "run_backup"})
            until(lambda: plane.want(200, "GET", path)[0]["outcome"] == "done")
            until(lambda: shown()["count"] > count)
            newest = shown()["newest"]
            agent.call("PUT", "/v1/sys/seal")
            until(lambda: plane.want(200, "GET", f"{BASE}/agents/v")["state"] == "sealed")
            assert (shown()["newest"], shown()["count"]) == (newest, count + 1)
