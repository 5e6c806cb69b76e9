"""A seal takes its moment and no more, whatever a worker does; no process has keys afterwards."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.agent import SEVERAL, Agent, Client, running, served_agent
from tests.acceptance.witnessed import held_by, members_of, watch
from tests.acceptance.workers.fleet import await_workers, is_gone, pinned, workers_of
from tests.acceptance.workers.waiting import await_true
from vault.model.server_address import parse_server_address
from vault.seal.root_keys.file import FileRootKey
from vault.workers.seat import SEAL_SECONDS

SECRET = "/v1/secret/data/app"
STOP_SECONDS = 9.0  # less than a stop waits for what is in flight
WITHIN = SEAL_SECONDS - 1.0  # seconds on a busy machine; it takes one to four


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/vault.db"
    made: Callable[[], str] = request.getfixturevalue("postgresql")
    return made()


@pytest.fixture
def agent(url: str, folder: Path) -> Iterator[Agent]:
    """One with workers and a secret, open."""
    made = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": SEVERAL},
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )
    watch(made, folder)
    with running(made):
        told = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        made.token = told["root_token"]
    with running(made):  # which is so when each worker is open
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        assert made.call("POST", SECRET, {"data": {"v": 1}}).status == 200
        yield made


def unseal(agent: Agent) -> None:
    """Offer the one share."""
    share = FileRootKey(agent.folder / "root.key").load().hex()
    assert not agent.call("PUT", "/v1/sys/unseal", {"key": share}).json["sealed"]


def seal(agent: Agent, client: Client) -> None:
    """In time; no process holds keys afterwards."""
    began = time.monotonic()
    assert client.call("PUT", "/v1/sys/seal").status == 204
    assert time.monotonic() - began < WITHIN
    found = held_by(agent.folder, members_of(agent))
    assert not any(found.values()), found


def verify(agent: Agent, restarts: int = 0) -> None:
    """Every worker serves after the next unsealing, and the agent thinks well of them."""
    unseal(agent)
    with pinned(agent) as clients:
        for client in clients:
            await_true(lambda client=client: client.call("GET", SECRET).status == 200)  # type: ignore[misc]  # a default
    assert (
        f"vault_worker_restarts_total {restarts}.0\n" in agent.call("GET", "/metrics").body.decode()
    )


def test_a_worker_that_is_stopped(agent: Agent) -> None:
    """It is ended, and its keys are gone with it; that is no failure of a worker."""
    victim = workers_of(agent)[0]
    with pinned(agent) as clients:
        os.kill(victim, signal.SIGSTOP)
        seal(agent, clients[1])
    assert is_gone(victim)
    await_workers(agent, victim)
    verify(agent)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_worker_that_waits_for_the_database(agent: Agent, url: str) -> None:
    """It has been given the keys and drops them, and waits for nothing any more."""
    database = parse_server_address(url, "postgresql").database
    with connection(url, "postgres") as server, pinned(agent) as clients:
        server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        victim = workers_of(agent)[0]
        os.kill(victim, signal.SIGKILL)
        await_workers(agent, victim)
        await_true(lambda: "waits for the database" in agent.output())
        before = workers_of(agent)
        seal(agent, clients[1])
        assert workers_of(agent) == before
        server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
    verify(agent, restarts=1)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_worker_that_the_database_keeps_from_opening(agent: Agent, url: str) -> None:
    """A thread of it waits for a query, which cannot be cut off: it is ended with its keys."""
    with pinned(agent) as clients, no_worker_opening(agent, url) as opening:
        seal(agent, clients[1])
        gone = opening - set(workers_of(agent))
        assert len(gone) == 1
    await_workers(agent, gone.pop())
    verify(agent, restarts=1)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_stop_waits_for_no_worker_that_opens(agent: Agent, url: str) -> None:
    """There is nothing in flight that it could finish."""
    with no_worker_opening(agent, url):
        began = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS


@contextmanager
def no_worker_opening(agent: Agent, url: str) -> Iterator[set[int]]:
    """For the length of the block one of the workers waits for a lock before it can open."""
    with connection(url) as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE roles IN EXCLUSIVE MODE")
        victim = workers_of(agent)[0]
        os.kill(victim, signal.SIGKILL)
        found = set(await_workers(agent, victim))
        await_true(lambda: bool(queries_that_wait(url)))
        yield found
        holder.rollback()


@contextmanager
def connection(url: str, database: str = "") -> Iterator[psycopg.Connection]:
    """As the server's administrator."""
    at = parse_server_address(url, "postgresql")
    with closing(
        psycopg.connect(
            host=at.socket, user=at.user, dbname=database or at.database, autocommit=True
        )
    ) as made:
        yield made


def queries_that_wait(url: str) -> list[tuple[object, ...]]:
    """Those that wait for a lock."""
    with connection(url) as other:
        wait = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return other.execute(wait.encode()).fetchall()
