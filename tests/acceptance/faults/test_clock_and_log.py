"""The machine's clock is wrong by more than a year: nothing of the audit log goes for it."""

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import PATIENCE, Agent, running, served_agent
from tests.support.polling import await_value

pytestmark = pytest.mark.usefixtures("workers")

AHEAD: Final = 400 * 86_400  # seconds
SEGMENT: Final = 1 << 20  # bytes; the least that the settings take
AGENT: Final = """
import sys, time
machine, ahead = time.time_ns, int(sys.argv.pop(1)) * 10**9
time.time_ns = lambda: machine() + ahead
from ui.cli.main import main
sys.exit(main())
"""
"""`freehold` where the clock is so many seconds ahead: `World` reads no other."""


@pytest.fixture
def agent(folder: Path) -> Agent:
    """An agent that is down and keeps its log for a year, of which a segment is closed."""
    made = served_agent(
        folder,
        {
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
            "audit": {
                "enabled": True,
                "log_file": f"{folder}/audit.log",
                "rotation_size": SEGMENT,
                "retention_days": 365,
                "durability": "write",
            },
        },
    )
    with running(made):
        shares = {"secret_shares": 1, "secret_threshold": 1}
        made.token = made.call("PUT", "/v1/sys/init", shares).json["root_token"]
        names = {"names": [f"secret/{n:03}{'x' * 400}" for n in range(1_000)]}
        with made.client() as client:
            while not closed(made):  # a record for each name
                assert client.call("POST", "/api/v1/batch/read", names).status == 207
    return made


def closed(agent: Agent) -> list[str]:
    """The closed segments of the log."""
    return sorted(path.name for path in agent.data.glob("audit.log.0*"))


def at(agent: Agent, ahead: int) -> Agent:
    """The same agent with a clock that is so many seconds ahead."""
    return Agent(
        agent.folder,
        [sys.executable, "-c", AGENT, str(ahead), *agent.command[1:]],
        token=agent.token,
        data=agent.data,
    )


def shows_figure(agent: Agent, figure: bytes) -> None:
    """Wait until whichever worker is asked says so."""
    await_value(lambda: figure in agent.call("GET", "/metrics").body, PATIENCE, figure)


def test_a_clock_that_is_wrong_once_deletes_no_segment(agent: Agent) -> None:
    """The log says that retention waits, monitoring sees it, and both are over with the fault."""
    segments = closed(agent)
    with running(at(agent, AHEAD)) as wrong:
        assert wrong.call("GET", "/v1/sys/mounts").status == 200
        shows_figure(wrong, b"\nvault_retention_suspended 1.0\n")
        query = "/api/v1/audit/events?operation=audit.retention_suspended"
        told = await_value(lambda: wrong.call("GET", query).json["events"], PATIENCE)
    assert closed(agent) == segments
    assert ["confirm-clock" in event["rule"] for event in told] == [True]
    with running(agent):
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        shows_figure(agent, b"\nvault_retention_suspended 0.0\n")
    assert closed(agent) == segments
    assert agent.verify().returncode == 0


def test_a_time_in_the_database_deletes_no_segment(agent: Agent) -> None:
    """The row that told the time had no MAC: whoever wrote it had the log deleted."""
    segments = closed(agent)
    with closing(sqlite3.connect(agent.database)) as database:
        later = (time.time_ns() + AHEAD * 10**9).to_bytes(8)
        database.execute("INSERT OR REPLACE INTO system VALUES ('clock', ?)", (later,))
        database.commit()
    assert "storage_rows_changed" in agent.refused_start()
    assert closed(agent) == segments
