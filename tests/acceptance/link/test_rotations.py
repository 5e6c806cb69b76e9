"""A real agent's rotations at a real control plane: counted, shown, and told to a named channel."""

from pathlib import Path
from typing import Any

from tests.acceptance.agent import dev_agent, running
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.test_agent import enrolled, until
from tests.unit.control.notify.receiving import receiver

BASE = "organizations/acme"
NAME = "db/payroll-app"


def test_a_rotation_is_counted_and_reported_without_its_name(folder: Path) -> None:
    """The channel that the policy names is told, though it wants no such alerts of its own."""
    for name in ("plane", "agent"):
        (folder / name).mkdir()
    plane = dev_plane(folder / "plane")
    agent = dev_agent(folder / "agent", workers=1)
    with receiver() as hook, running(plane):
        plane.sign_in()
        plane.organization("acme")
        channel = {"name": "on call", "type": "webhook", "url": hook.url(), "events": ["sealed"]}
        plane.want(201, "POST", f"{BASE}/channels", channel)
        enrolled(plane, "v", "--data-dir", str(agent.data))

        def shown() -> dict[str, Any]:
            [vault] = plane.want(200, "GET", f"{BASE}/vaults")
            return vault["rotation"] or {}

        def notices() -> list[dict[str, Any]]:
            found = plane.want(200, "GET", f"{BASE}/deliveries")
            return [notice for delivery in found for notice in delivery["notices"]]

        with running(agent):
            value = {"name": f"secret/{NAME}", "value": {"password": "first"}}
            assert agent.call("POST", "/api/v1/secrets", value).status == 201
            policy = {
                "rotator": "generated",
                "notify": {"channels": ["on call"], "events": ["rotated", "stuck"]},
            }
            path = f"/api/v1/rotation/secret/{NAME}"
            assert agent.call("PUT", path, policy).status == 204
            assert agent.call("GET", path).json["policy"]["notify"] == policy["notify"]
            assert agent.call("POST", f"/api/v1/rotate/secret/{NAME}").status == 202
            until(lambda: shown().get("rotated_day") == 1)
            wanted = {"state": "good", "policies": 1, "waiting": 1}
            until(lambda: wanted.items() <= shown().items())
            until(lambda: [each["code"] for each in notices()] == ["secret_rotated"])
            [notice] = notices()
            who = agent.call("GET", f"/api/v1/system/usage/{notice['subject']}")
            assert who.json["name"] == f"secret/{NAME}"
            text = repr(plane.want(200, "GET", f"{BASE}/vaults")) + repr(notices())
            assert "payroll" not in text
            agent.call("PUT", "/v1/sys/seal")
            until(lambda: plane.want(200, "GET", f"{BASE}/agents/v")["state"] == "sealed")
            assert shown()["rotated_day"] == 1
