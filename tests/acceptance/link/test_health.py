"""How an agent is, as its control plane sees it: one state, and alerts from start to end."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.estate import BASE, until
from tests.acceptance.link.test_agent import enrolled, initialised, opened


def seen(plane: Plane) -> tuple[str, list[tuple[str, str, str]]]:
    """The agent's state; code, state and severity of its alerts, the oldest first."""
    agent = plane.want(200, "GET", f"{BASE}/agents/v")
    found = plane.want(200, "GET", f"{BASE}/alerts?vault=v")
    alerts = [(row["code"], row["state"], row["severity"]) for row in reversed(found)]
    return agent["state"], alerts


@pytest.mark.parametrize("workers", [1, 2])
def test_an_agent_that_restarts_sealed_has_a_critical_alert(folder: Path, workers: int) -> None:
    """Until it is unsealed; meanwhile nobody calls it online, by whatever way they ask."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    agent = linked_agent(folder / "agent", workers)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "v", "--config", str(folder / "agent" / "vault.yaml"))
        agent.start()
        shares = initialised(agent)
        opened(agent, shares)
        until(lambda: seen(plane)[0] == "online", "it is online")
        until(lambda: all(state == "resolved" for _, state, _ in seen(plane)[1]), "all is well")
        before = len(seen(plane)[1])
        agent.stop()
        agent.start()
        until(lambda: seen(plane)[0] == "sealed", "it is seen sealed")
        until(lambda: _firing(plane) == [("sealed", "firing", "critical")], "its alert fires")
        listed = f"{BASE}/agents?state=sealed"
        until(lambda: [row["vault"] for row in plane.want(200, "GET", listed)] == ["v"], "stored")
        assert plane.want(200, "GET", f"{BASE}/agents?state=online") == []
        for figure in (b'{state="sealed"} 1.0', b'{state="online"} 0.0'):
            line = b"control_agents" + figure
            until(lambda line=line: line in plane.call("GET", "/metrics").body, "counted")
        opened(agent, shares)
        until(lambda: seen(plane)[0] == "online", "it is online again")
        until(lambda: not _firing(plane), "its alert is over")
        assert len(seen(plane)[1]) in (before, before + 1)  # one row, new or gone on with
        agent.stop()


def linked_agent(folder: Path, workers: int, **more: Any) -> Agent:
    """One whose clients unseal it."""
    section = {"enabled": True, "heartbeat_interval": "1s", "metrics_interval": "1s"}
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers}
    return served_agent(folder, {"control_plane": section, "server": server, **more})


def _firing(plane: Plane) -> list[tuple[str, str, str]]:
    return [alert for alert in seen(plane)[1] if alert[1] == "firing"]


def test_the_cli_shows_state_and_alerts(folder: Path) -> None:
    """As the dashboard does."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane, agent = dev_plane(folder / "plane"), linked_agent(folder / "agent", 1)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "v", "--config", str(folder / "agent" / "vault.yaml"))
        agent.start()
        until(lambda: seen(plane)[0] == "sealed", "it is seen sealed")
        listed = "organizations/acme/agents?state=sealed"
        until(lambda: plane.want(200, "GET", listed), "that is stored")
        for command, words in (
            (("agent", "list", "--state", "sealed"), ("state", "sealed", "v")),
            (("alert", "list"), ("firing", "critical", "sealed")),
        ):
            done = freehold("fleet", *command, environment=_environment(plane))
            assert done.returncode == 0, done.stderr
            assert all(word in done.stdout for word in words), done.stdout
        agent.stop()


def _environment(plane: Plane) -> dict[str, str]:
    return {
        "FREEHOLD_CONTROL_ADDR": plane.address,
        "FREEHOLD_CONTROL_TOKEN": plane.token,
        "FREEHOLD_ORG": "acme",
    }
