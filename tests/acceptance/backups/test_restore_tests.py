"""An agent restores its own backups by the schedule, with workers, and says so in its audit log."""

import time
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, running, served_agent
from tests.support.polling import await_value
from tools import backup_verify

EVENTS = "/api/v1/audit/events?operation=backup.prove"
PATIENCE = 120.0  # seconds; the first look is after half a minute


def recorded(agent: Agent) -> list[Any]:
    """The records of restore tests, once there is one."""
    limit = time.monotonic() + PATIENCE
    while not (found := agent.call("GET", EVENTS).json["events"]):
        assert time.monotonic() < limit, agent.call("GET", "/api/v1/backups/schedule").json
    return list(found)


def metrics(agent: Agent) -> str:
    """As scraped."""
    return agent.call("GET", "/metrics").body.decode()


def test_by_the_schedule(tmp_path: Path) -> None:
    """The certificate is next to the backup, its hash in the audit log, and the backup proven."""
    folder = tmp_path / "backups"
    section = {
        "enabled": True,
        "destinations": [{"type": "local", "name": "here", "path": str(folder)}],
    }
    config = {"backup": section}
    with running(served_agent(tmp_path, config)) as agent:
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        agent.token = made["root_token"]
        agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
        (event,) = recorded(agent)
        (file,) = folder.glob("*.certificate")
        note = file.read_bytes()
        found = backup_verify.verify_certificate(file, root_key=bytes.fromhex(made["keys"][0]))
        assert found["depth"] == "rows"
        assert found["destination"] == "here"
        assert event["result"] == "ok"
        assert backup_verify.sha256(note).hex() in event["rule"]
        schedule = "/api/v1/backups/schedule"
        await_value(lambda: agent.call("GET", schedule).json["proven_at"], PATIENCE)
        (backup,) = agent.call("GET", "/api/v1/backups").json["backups"]
        shown = agent.call("GET", f"/api/v1/backups/{backup['id']}").json["certificate"]
        assert shown == backup["certificate"]
        assert (shown["name"], shown["sha256"]) == (file.name, backup_verify.sha256(note).hex())
        assert (shown["depth"], shown["rto_ms"]) == ("rows", found["rto_ms"])
        for figure in ("vault_backup_late 0.0", "vault_backup_unproven 0.0"):  # at any worker
            await_value(lambda figure=figure: figure in metrics(agent), PATIENCE, figure)
        assert agent.call("DELETE", f"/api/v1/backups/{backup['id']}").status == 204
        assert list(folder.iterdir()) == []
