"""A process that was away while others made more commits than the change feed holds goes on."""

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from loadtests.consistency.proxy import run_proxy
from loadtests.durability.process import run_this_code
from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.storage import short_feed
from tests.acceptance.workers.fleet import await_workers, is_gone, pinned, workers_of
from tests.support.polling import await_value
from tests.support.postgres import Postgres

WITHIN = 30.0  # seconds, on a busy machine
COMMITS = 3 * short_feed.KEPT
TRIES = 4
VALUE = "/v1/secret/data/first"
SAID = "counted anew"


def short_agent(folder: Path, url: str, workers: int) -> Agent:
    """Not started."""
    folder.mkdir(exist_ok=True)
    made = served_agent(
        folder,
        {
            "server": {
                "listen": "127.0.0.1:0",
                "tls": {"enabled": False},
                "workers": workers,
            },
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )
    run_this_code(made)
    made.command = [sys.executable, short_feed.__file__, *made.command[1:]]
    return made


def begin(agent: Agent) -> None:
    """A new vault with one secret."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.token = made.json["root_token"]
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    assert agent.call("POST", VALUE, {"data": {"n": 0}}).status == 200


def number(answer: Answer) -> int:
    """What the secret has; -1 where nothing is answered."""
    if answer.status != 200:
        assert answer.status == 503, answer
        return -1
    found: int = answer.json["data"]["data"]["n"]
    return found


def eventually(holds: Callable[[], bool], otherwise: str) -> None:
    """Wait until it does."""
    await_value(holds, WITHIN, otherwise)


def test_an_agent(postgresql_server: Postgres, folder: Path, tmp_path: Path) -> None:
    """Cut off from the database meanwhile; its tokens and policies are those of now."""
    url = postgresql_server.empty()
    with run_proxy(postgresql_server.socket, tmp_path) as proxy:
        way = url.replace(quote(str(postgresql_server.folder)), quote(str(proxy.socket.parent)))
        one, other = short_agent(folder / "a", url, 1), short_agent(folder / "b", way, 1)
        with running(one):
            begin(one)
            other.token = one.token
            (folder / "b" / "root.key").write_bytes((folder / "a" / "root.key").read_bytes())
            (folder / "b" / "root.key").chmod(0o600)
            with running(other):
                auth = one.call("POST", "/v1/auth/token/create", {"policies": ["root"]}).json[
                    "auth"
                ]
                assert number(other.call("GET", VALUE, token=auth["client_token"])) == 0
                proxy.freeze()
                for last in range(1, COMMITS):
                    assert one.call("POST", VALUE, {"data": {"n": last}}).status == 200
                revoked = {"accessor": auth["accessor"]}
                assert one.call("POST", "/v1/auth/token/revoke-accessor", revoked).status == 204
                eventually(lambda: other.call("GET", "/health/ready").status == 503, "it is ready")
                proxy.resume()
                eventually(lambda: number(other.call("GET", VALUE)) == last, "it is not back")
                assert other.call("GET", VALUE, token=auth["client_token"]).status == 403
                eventually(lambda: other.call("GET", "/health/ready").status == 200, "not ready")
                assert other.call("POST", VALUE, {"data": {"n": -5}}).status == 200
                assert number(one.call("GET", VALUE)) == -5
                assert SAID in other.output()
                assert SAID not in one.output()
    for agent in (one, other):
        assert agent.verify().returncode == 0
        assert "Traceback" not in agent.output()


def test_a_worker(folder: Path) -> None:
    """Stopped meanwhile: requests to it are answered, by the first process if need be."""
    agent = short_agent(folder / "a", f"sqlite:///{folder}/a/vault.db", 2)
    with running(agent):
        begin(agent)
        for first in range(0, TRIES * COMMITS, COMMITS):
            await_workers(agent, 2)
            if comes_back(agent, first):
                break
        assert SAID in agent.output()
    assert agent.verify().returncode == 0
    assert "Traceback" not in agent.output()


def comes_back(agent: Agent, first: int) -> bool:
    """Whether a worker that was stopped goes on. It is ended if that was in the middle of a turn.

    Values from `first` on are written meanwhile.
    """
    with pinned(agent) as clients:
        victim = workers_of(agent)[0]
        assert clients[1].call("POST", VALUE, {"data": {"n": first}}).status == 200
        assert [number(client.call("GET", VALUE)) for client in clients] == [first, first]
        os.kill(victim, signal.SIGSTOP)
        try:
            for last in range(first + 1, first + COMMITS):
                assert clients[1].call("POST", VALUE, {"data": {"n": last}}).status == 200
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
        try:
            until = time.monotonic() + WITHIN
            while (found := number(clients[0].call("GET", VALUE))) != last:
                assert found == -1, "an older value is no answer"
                assert time.monotonic() < until
            assert clients[0].call("POST", VALUE, {"data": {"n": -5}}).status == 200
        except (OSError, http.client.HTTPException):  # it was ended, be it a moment ago
            assert is_gone(victim)
            return False
        assert number(clients[1].call("GET", VALUE)) == -5
        return victim in workers_of(agent)
