"""A secret that expires soon, or has, from the agent to the people who are told."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.test_agent import BASE, enrolled, until
from tests.unit.control.notify.receiving import receiver

NAME = "canaryname-51d0"
ENDS = datetime.now(UTC) + timedelta(days=5)


def looked(data: Path) -> int:
    """How often, by the agent's audit log."""
    return (data / "audit.log").read_text().count("usage.expiring")


def look_again(agent: Agent) -> None:
    """Use the agent until it has looked: what nobody uses it looks at once a minute."""
    looks = looked(agent.data)

    def used() -> bool:
        agent.call("GET", f"/api/v1/secrets/{NAME}")
        return looked(agent.data) > looks + 2

    until(used)


def test_a_secret_that_expires_is_told_once_by_its_opaque_id(folder: Path) -> None:
    """To the control plane and its webhook; not again after a restart; its name stays here."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    agent = dev_agent(folder / "agent")
    agent.command.extend(("--heartbeat", "1s"))
    with receiver() as hook, running(plane):
        plane.sign_in()
        plane.organization("acme")
        channel = {"name": "on call", "type": "webhook", "url": hook.url()}
        plane.want(201, "POST", f"{BASE}/channels", channel)
        enrolled(plane, "one", "--data-dir", str(agent.data))

        def alerts(code: str = "secret_expiring") -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = plane.want(200, "GET", f"{BASE}/alerts")
            return [one for one in found if one["code"] == code]

        with running(agent):
            body = {"name": f"secret/{NAME}", "value": "x", "expires_at": ENDS.isoformat()}
            assert agent.call("POST", "/api/v1/secrets", body).status == 201
            until(lambda: bool(alerts()))
            (told,) = alerts()
            who = agent.call("GET", f"/api/v1/system/usage/{told['subject']}").json
            assert (who["kind"], who["name"]) == ("secret", f"secret/{NAME}")
            until(lambda: b"secret_expiring" in b"".join(data for _, _, data in hook.requests))
            notices = [
                n for _, _, sent in hook.requests for n in json.loads(sent)["data"]["notices"]
            ]
            (notice,) = [one for one in notices if one["code"] == "secret_expiring"]
            assert (notice["vault"], notice["subject"]) == ("one", told["subject"])
            # of whichever worker answers
            until(lambda: b"vault_secrets_expiring 1.0" in agent.call("GET", "/metrics").body)
        with running(agent):
            look_again(agent)
            assert len(alerts()) == 1
            body |= {"name": f"secret/{NAME}-over", "expires_at": datetime.now(UTC).isoformat()}
            assert agent.call("POST", "/api/v1/secrets", body).status == 201
            until(lambda: b"secret_expired" in b"".join(data for _, _, data in hook.requests))
            (over,) = alerts("secret_expired")
            who = agent.call("GET", f"/api/v1/system/usage/{over['subject']}").json
            assert who["name"] == f"secret/{NAME}-over"
        with running(agent):
            look_again(agent)
            assert (len(alerts()), alerts("secret_expired")) == (1, [over])
    kept = b"".join(file.read_bytes() for file in plane.data.rglob("*") if file.is_file())
    assert NAME.encode() not in kept
