"""Several agents on one database, or workers on one file, answer as one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.consistency import database_faults, scenarios
from loadtests.consistency.cluster import Cluster, running_cluster
from loadtests.consistency.scenarios import Result
from loadtests.database_servers import DatabasePlace
from tests.acceptance.agent import own_folder
from tests.support.databases import SERVERS, Server

OPERATIONS = 400
DELAYED, SHARE, DELAY = 40, 0.1, 2.0  # operations; of the feed's queries; seconds
KILLS = 4  # one at each place of a transaction
TRIES = 40  # of revoked tokens
PATIENCE = 300.0  # seconds for a command
PAUSE = 0.03  # seconds of a client between two operations, of those that go on through faults
MARGIN = 20.0  # seconds that the machine may add: it has other tests to do
CUTS = 9  # of connections at COMMIT: of each agent's, at each place


@contextmanager
def cluster(server: DatabasePlace | None) -> Iterator[Cluster]:
    """Three agents on the server, or three workers; their logs verify at the end."""
    with own_folder() as folder, running_cluster(folder, server, 3) as made:
        made.pause, made.margin = PAUSE, MARGIN
        yield made
        made.stop()
        assert made.verify_logs() == []
        assert "Traceback" not in made.output()


def require(result: Result) -> None:
    """It found nothing."""
    assert (result.findings, dict(result.violations)) == ([], {}), result


@pytest.mark.parametrize("kind", SERVERS)
def test_three_agents(kind: str, request: pytest.FixtureRequest) -> None:
    """Every request sees what any agent acknowledged before, through whatever befalls them."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    with cluster(server) as agents:
        require(scenarios.run_operations(agents, OPERATIONS))
        require(scenarios.run_operations(agents, DELAYED, delay=DELAY, share=SHARE))
        require(scenarios.kill_holders(agents, KILLS))
        require(scenarios.revoke_tokens(agents, TRIES))
        require(database_faults.cut_commits(agents, CUTS))
        if kind == "postgresql":
            require(scenarios.cut_off(agents))
        assert not scenarios.restart_database(agents, server).violations
        require(database_faults.set_back(agents, server))


def test_a_standby_takes_over() -> None:
    """It has all that was acknowledged, and the agents go on by themselves."""
    with database_faults.replicated_postgresql() as servers, cluster(servers) as agents:
        require(database_faults.fail_over(agents, servers, 1))


@pytest.mark.parametrize("kind", SERVERS)
def test_the_disk_of_the_database_is_full(kind: str, folder: Path, root: Path) -> None:
    """503, nothing is lost, and service once there is room."""
    if os.geteuid():
        pytest.skip("a disk of the server's own needs root")  # which fails on CI
    done = subprocess.run(
        [
            sys.executable, "-m", "loadtests.consistency",
            "--backend", kind, "--full-disk", "1", "--pause", str(PAUSE), "--out", str(folder),
        ],
        cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_holder_of_the_head_is_stopped(postgresql_server: Server) -> None:
    """The others go on within the time-out, and what it was about to commit is refused."""
    with cluster(postgresql_server) as agents:
        result = scenarios.stop_holder(agents)
        require(result)
        assert "refused" in result.notes[0]


def test_three_workers() -> None:
    """The same on a file."""
    with cluster(None) as workers:
        require(scenarios.run_operations(workers, OPERATIONS))
        require(scenarios.run_operations(workers, DELAYED, delay=DELAY, share=SHARE))
        require(scenarios.kill_holders(workers, KILLS))
        require(scenarios.revoke_tokens(workers, TRIES))


def test_stale_reads_are_noticed() -> None:
    """Of agents that do not look for what others have committed."""
    with cluster(None) as workers:
        workers.blind()
        assert scenarios.run_operations(workers, OPERATIONS).violations["stale"]
