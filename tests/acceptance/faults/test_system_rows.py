"""Somebody changes the rows that have no MAC of their own: clock, counted uses, seal."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold

CODE: Final = re.compile(r"freehold: (\w+): ")


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that has sealed a value and is down."""
    made = dev_agent(folder, workers=request.param)
    with running(made):
        assert made.call("POST", "/v1/secret/data/a", {"data": {"k": "v"}}).status == 200
    return made


@pytest.mark.parametrize(
    "change",
    [
        "INSERT OR REPLACE INTO system VALUES ('clock', x'7fffffffffffffff')",
        "UPDATE system SET value = zeroblob(8) WHERE name = 'kek-uses/1'",
        "DELETE FROM system WHERE name = 'kek-uses/1'",
        "INSERT INTO system VALUES ('kek-uses/9', zeroblob(8))",
        "UPDATE system SET value = CAST(value || ' ' AS BLOB) WHERE name = 'seal'",
    ],
    ids=["clock", "uses lowered", "uses removed", "a row more", "seal"],
)
def test_a_changed_row_keeps_the_vault_shut(agent: Agent, change: str) -> None:
    """The mark covers the whole table, and the text says where it is and how on."""
    with closing(sqlite3.connect(agent.database)) as database:
        assert database.execute(change).rowcount == 1
        database.commit()
    refused = agent.refused_start()
    assert CODE.findall(refused) == ["storage_rows_changed"]
    assert "system" in refused
    assert "operator accept-rollback" in refused
    anchor = str(agent.data / "vault.anchor")
    words = ("operator", "accept-rollback", "--anchor", anchor, "--reason", "looked at it")
    assert freehold(*words).returncode == 0
    with running(agent):
        assert agent.call("GET", "/v1/secret/data/a").status == 200
    with running(agent):
        assert agent.call("GET", "/v1/secret/data/a").status == 200


def test_an_operator_confirms_the_clock_of_a_running_agent(agent: Agent) -> None:
    """Taken at the next start, on record with the reason, and used up."""
    anchor = str(agent.data / "vault.anchor")
    words = ("operator", "confirm-clock", "--anchor", anchor, "--reason", "ntp was wrong")
    assert freehold(*words).returncode == 0
    with running(agent):
        assert not (agent.data / "vault.anchor.clock").exists()
        query = "/api/v1/audit/events?operation=sys.confirm_clock"
        [event] = agent.call("GET", query).json["events"]
        assert event["actor_name"] == "operator"
        assert "ntp was wrong" in event["rule"]
        assert b"\nvault_retention_suspended 0.0\n" in agent.call("GET", "/metrics").body
