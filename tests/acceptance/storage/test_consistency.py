"""Several agents on one database, or workers on one file, answer as one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loadtests.consistency import scenarios
from loadtests.consistency.cluster import Cluster, running_cluster
from loadtests.consistency.scenarios import Result
from tests.acceptance.agent import own_folder
from tests.support.databases import SERVERS, Server

OPERATIONS = 700
DELAYED, SHARE, DELAY = 60, 0.1, 2.0  # operations; of the feed's queries; seconds
KILLS = 4  # one at each place of a transaction
TRIES = 60  # of revoked tokens


@contextmanager
def cluster(server: Server | None) -> Iterator[Cluster]:
    """Three agents on the server, or three workers; their logs verify at the end."""
    with own_folder() as folder, running_cluster(folder, server, 3) as made:
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
        if kind == "postgresql":
            require(scenarios.cut_off(agents))
        assert not scenarios.restart_database(agents, server).violations


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
        require(scenarios.kill_holders(workers, KILLS))
        require(scenarios.revoke_tokens(workers, TRIES))


def test_stale_reads_are_noticed() -> None:
    """Of agents that do not look for what others have committed."""
    with cluster(None) as workers:
        workers.blind()
        assert scenarios.run_operations(workers, OPERATIONS).violations["stale"]
