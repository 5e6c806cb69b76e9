"""Backups as agents report them over real TLS: shown, alarmed of, filtered and asked for."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.link import messages as m
from protocols.link import vocabulary as words
from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.linked import Linked
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.control.sharing import BASE, estate, until

STATE = words.BackupState
CERTIFICATE = b"\x0c" * 32


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def planes(request: pytest.FixtureRequest) -> Iterator[tuple[Plane, Plane]]:
    """Who is asked, and to whom agents are linked: two processes where they share a server."""
    with own_folder() as path:
        if request.param == "postgresql":
            with estate(path) as both:
                yield both.planes
            return
        plane = dev_plane(path, "--heartbeat", "1s", "--offline-after", "5s")
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            yield plane, plane


def newcomer(planes: tuple[Plane, Plane], folder: Path, name: str) -> Linked:
    """An enrolled agent."""
    asked, linked = planes
    made = asked.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": name})
    agent = Linked(folder / name, linked.link_port, made["pin"])
    agent.enrol(made["secret"])
    return agent


def reported(state: words.BackupState, *, age: int = 0, period: int = 86_400) -> m.Backups:
    """A report; `age` of the newest backup and its proof, in seconds."""
    at = int(time.time() - age) * 1000
    return m.Backups(
        state=state, newest=at, proven=at, count=14, period=period, rto=42, rpo=60,
        certificate=CERTIFICATE,
    )  # fmt: skip


def vaults(plane: Plane, query: str = "") -> dict[str, dict[str, Any]]:
    """By name."""
    found = plane.want(200, "GET", f"{BASE}/vaults{query}")
    return {row["vault"]: row for row in found}


def alerts(plane: Plane, name: str) -> list[str]:
    """Of the agent: code, severity and state of each."""
    found = plane.want(200, "GET", f"{BASE}/alerts?vault={name}")
    return sorted(f"{row['code']} {row['severity']} {row['state']}" for row in found)


async def test_what_an_agent_reports_is_shown_and_alarmed_of(
    planes: tuple[Plane, Plane], tmp_path: Path
) -> None:
    """From a failure to a proven backup, and what nobody reports is a vault without a proof."""
    asked, _ = planes
    agent, silent = (newcomer(planes, tmp_path, name) for name in ("told", "silent"))
    assert silent.grant is not None
    assert vaults(asked)["told"]["backup"] is None
    async with agent.connected() as talk:
        await talk.say(reported(STATE.FAILED, age=30 * 86_400))
        late = ["backup_failed warning firing", "backup_late critical firing"]
        await until(lambda: alerts(asked, "told") == late)
        backup = vaults(asked)["told"]["backup"]
        assert (backup["state"], backup["certified"]) == ("failed", False)
        assert list(vaults(asked, "?certified=false")) == ["silent", "told"]
        assert list(vaults(asked, "?backup=failed")) == ["told"]
        report = reported(STATE.GOOD)
        await talk.say(report)
        over = [line.replace("firing", "resolved") for line in late]
        await until(lambda: alerts(asked, "told") == over)
    backup = vaults(asked)["told"]["backup"]
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(report.newest // 1000))
    assert backup == {
        "state": "good", "newest": at, "proven": at, "count": 14, "rto": 42, "rpo": 60,
        "certificate": CERTIFICATE.hex(), "certified": True,
    }  # fmt: skip
    assert list(vaults(asked, "?certified=false")) == ["silent"]


async def test_a_backup_is_asked_for_by_command(
    planes: tuple[Plane, Plane], tmp_path: Path
) -> None:
    """On the audit log as every command; the agent's answer says why not."""
    asked, _ = planes
    agent = newcomer(planes, tmp_path, "asked")
    path = f"{BASE}/agents/asked/commands"
    made = asked.want(201, "POST", path, {"command": "run_backup"})
    async with agent.connected() as talk:
        await talk.until(lambda: any(isinstance(x, m.Command) for x in agent.heard))
        outcome = words.CommandOutcome.UNSUPPORTED
        result = m.CommandResult(command_id=bytes.fromhex(made["id"]), outcome=outcome, at=1)
        await talk.say(result)
        await talk.until(lambda: not agent.outbox.entries)
    [row] = asked.want(200, "GET", path)
    assert (row["command"], row["outcome"]) == ("run_backup", "unsupported")
    assert "makes no backups" in row["reason"]
    records = asked.want(200, "GET", f"{BASE}/audit?operation=agents.command")
    assert {record["target"] for record in records} == {"asked"}
