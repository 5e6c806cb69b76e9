"""An agent that was restored from a backup and an older copy of its log: its control plane notices.

Its own machine has lost database, audit log and anchor, so nothing there can know of the later
state; the checkpoints that the control plane has cosigned do.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.agent import running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.support.polling import await_value

BASE = "organizations/acme"
WITHIN = 60.0  # seconds, on a busy machine
REASON = "restored after a fire"


def until(holds: Callable[[], object]) -> None:
    """Wait for something that two other processes bring about."""
    await_value(holds, WITHIN)


def cosigned(plane: Plane) -> int:
    """How many records of the log the control plane has seen."""
    answer = plane.ask("GET", f"{BASE}/agents/v/checkpoint")
    return int(answer.json["size"]) if answer.status == 200 else 0


def alerts(plane: Plane) -> set[tuple[str, str]]:
    """Code and state of those about the log."""
    found = plane.want(200, "GET", f"{BASE}/alerts?vault=v")
    return {(row["code"], row["state"]) for row in found if row["code"].startswith("audit_")}


def test_the_control_plane_notices(folder: Path) -> None:
    """A shorter log than was cosigned is a critical alert, until a person accepts it."""
    (folder / "plane").mkdir()
    home = folder / "agent"
    home.mkdir()
    plane = dev_plane(folder / "plane")
    agent = served_agent(
        home,
        {
            "encryption": {"key_management": "file", "key_file": f"{home}/root.key"},
            "control_plane": {
                "enabled": True, "checkpoint_interval": "1s", "heartbeat_interval": "1s",
            },
        },
    )  # fmt: skip
    config = str(home / "vault.yaml")
    storage = json.loads((home / "vault.yaml").read_text())["storage"]["connection_string"]
    database = Path(storage.removeprefix("sqlite:///"))
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": "v"})
        enrolled = freehold(
            "agent", "enrol", "--control", f"https://127.0.0.1:{plane.link_port}",
            "--pin", made["pin"], "--token", made["secret"], "--config", config,
        )  # fmt: skip
        assert enrolled.returncode == 0, enrolled.stderr
        with running(agent):
            shares = {"secret_shares": 1, "secret_threshold": 1}
            agent.token = agent.call("PUT", "/v1/sys/init", shares).json["root_token"]
            until(lambda: cosigned(plane) > 0)
        backup = freehold("backup", "create", str(folder / "b"), "--config", config, "-o", "json")
        assert backup.returncode == 0, backup.stderr
        logs = folder / "logs"
        logs.mkdir()
        for file in home.glob("audit.log*"):
            shutil.copy(file, logs / file.name)
        size = len((logs / "audit.log").read_bytes().splitlines())
        with running(agent):
            for _ in range(40):
                assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
            until(lambda: cosigned(plane) > size + 40)
        for name in (f"{database.name}*", "audit.log*", "vault.anchor*", "*.anchor"):
            for file in home.glob(name):
                file.unlink()
        for file in logs.iterdir():
            shutil.copy(file, home / file.name)
        restored = freehold(
            "backup", "restore", str(folder / "b"), json.loads(backup.stdout)["id"], "--config",
            config, "--reason", REASON, "--keep-tokens", "-o", "json",
        )  # fmt: skip
        assert restored.returncode == 0, restored.stderr
        refused = freehold("agent", "serve", "--config", config)
        assert "anchor_missing" in refused.stdout + refused.stderr
        accepted = freehold("operator", "accept-rollback", "--config", config, "--reason", REASON)
        assert accepted.returncode == 0, accepted.stderr
        with running(agent):
            unsealed = freehold(
                "operator", "unseal", "--config", config,
                environment={"FREEHOLD_ADDR": agent.address},
            )  # fmt: skip
            assert unsealed.returncode == 0, unsealed.stderr
            until(lambda: ("audit_rollback", "firing") in alerts(plane))
            said = {"reason": REASON}
            plane.want(204, "POST", f"{BASE}/agents/v/checkpoint/accept", said)
            until(lambda: ("audit_rollback", "resolved") in alerts(plane))
            until(lambda: 0 < cosigned(plane) < size + 40)
            found = agent.call("GET", "/api/v1/audit/events?operation=sys.restore")
            assert REASON in found.json["events"][0]["rule"]
        assert agent.verify().returncode == 0
