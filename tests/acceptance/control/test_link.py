"""Agents over real TLS, against the control plane as a process of its own."""

from pathlib import Path

from tests.acceptance.agent import running
from tests.acceptance.control.linked import Linked, heartbeat
from tests.acceptance.control.plane import dev_plane

BASE = "organizations/acme"
DOCUMENT = {"rules": [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}]}


async def test_an_agent_enrols_is_live_and_gets_its_policy(folder: Path) -> None:
    """From a token to a policy that is shown as applied."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": "one"})
        agent = Linked(folder / "one", plane.link_port, made["pin"])
        agent.enrol(made["secret"])
        async with agent.connected() as talk:
            await talk.say(heartbeat())
            plane.want(201, "POST", f"{BASE}/policies/p/versions", {"document": DOCUMENT})
            plane.want(200, "PUT", f"{BASE}/policies/p/targets", {"targets": [{"all": True}]})
            plane.want(201, "POST", f"{BASE}/policies/p/rollouts", {"version": 1})
            await talk.until(lambda: agent.bundles == [1])
            await talk.until(lambda: not agent.outbox.entries)
            row = plane.want(200, "GET", f"{BASE}/agents/one/policy")
            assert row["outcome"] == "applied", row
            assert plane.want(200, "GET", f"{BASE}/agents/one")["presence"] == "online"
