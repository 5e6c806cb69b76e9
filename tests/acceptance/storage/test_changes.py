"""Changes across agents of one database, beyond what the feed holds, and after a rollback."""

import random
import shutil
import threading
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.native.test_story import API, ok
from tests.acceptance.storage import short_feed
from tests.acceptance.storage.test_far_behind import begin, short_agent
from tests.support.databases import SERVERS, Server


def changes(agent: Agent, since: str, wait: str = "") -> tuple[dict[str, int], str]:
    """Version by path, and the next cursor."""
    body = ok(agent, "GET", f"changes?since={since}&wait={wait}")
    return {one["path"]: one["version"] for one in body["changes"]}, body["cursor"]


def test_a_cursor_that_is_too_old(folder: Path) -> None:
    """409 with another one, from which it goes on; in a stream an event says so."""
    agent = short_agent(folder / "a", f"sqlite:///{folder}/a/vault.db", 1)
    with running(agent):
        begin(agent)
        old = ok(agent, "GET", "changes")["cursor"]
        for number in range(2 * short_feed.KEPT):
            agent.call("POST", "/v1/secret/data/first", {"data": {"n": number}})
        answer = agent.call("GET", f"{API}/changes?since={old}&wait=10s")
        assert (answer.status, answer.json["code"]) == (409, "changes_expired")
        cursor = answer.json["details"]["cursor"]
        assert changes(agent, cursor)[0] == {}
        agent.call("POST", "/v1/secret/data/second", {"data": {"n": 1}})
        assert changes(agent, cursor)[0] == {"secret/second": 1}


def test_another_history(folder: Path) -> None:
    """A database that was put back makes the cursor of what it lost invalid, whatever follows."""
    agent = dev_agent(folder, workers=1)
    with running(agent):
        ok(agent, "POST", "secrets", {"name": "secret/kept", "value": 1})
        kept = ok(agent, "GET", "changes")["cursor"]
    shutil.copytree(agent.data, folder / "early")
    with running(agent):
        ok(agent, "POST", "secrets", {"name": "secret/lost", "value": 1})
        found, lost = changes(agent, kept)
        assert found == {"secret/lost": 1}
    for file in agent.data.glob("vault.db*"):
        file.unlink()
    for file in (folder / "early").glob("vault.db*"):
        shutil.copy(file, agent.data / file.name)
    agent.refused_start()
    words = ("--anchor", str(agent.data / "vault.anchor"), "--reason", "a test")
    assert freehold("operator", "accept-rollback", *words).returncode == 0
    with running(agent):
        for number in range(20):
            ok(agent, "POST", "secrets", {"name": f"secret/anew/{number}", "value": 1})
        for since in (lost, kept):  # the commits' numbers go on behind those that are lost
            answer = agent.call("GET", f"{API}/changes?since={since}")
            assert (answer.status, answer.json["code"]) == (409, "changes_expired"), answer.body
        cursor = answer.json["details"]["cursor"]
        ok(agent, "POST", "secrets", {"name": "secret/more", "value": 1})
        assert changes(agent, cursor)[0] == {"secret/more": 1}


@pytest.mark.parametrize("kind", SERVERS)
def test_two_agents(kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
    """Both write; whoever follows, now at one and now at the other, knows in the end what is."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    url = server.empty()
    one, other = (
        short_agent(folder / name, url, workers) for name, workers in (("a", 1), ("b", 2))
    )
    for agent in (one, other):  # with the feed that all have
        agent.command = [word for word in agent.command if word != short_feed.__file__]
        agent.command = [str(Path(agent.command[0]).parent / "freehold"), *agent.command[1:]]
    with running(one):
        begin(one)
        shutil.copy(folder / "a" / "root.key", folder / "b" / "root.key")
        other.token = one.token
        with running(other):
            chance, known = random.Random(3), dict[str, int]()  # noqa: S311  # a test
            cursor, over = ok(one, "GET", "changes")["cursor"], threading.Event()

            def write() -> None:
                for _ in range(100):
                    name, agent = f"secret/data/n{chance.randrange(9)}", chance.choice([one, other])
                    with agent.client() as client:
                        client.call("POST", f"/v1/{name}", {"data": {"x": 1}})
                over.set()

            writer = threading.Thread(target=write)
            writer.start()
            turn = 0
            while True:
                is_last, turn = over.is_set(), turn + 1
                found, cursor = changes((one, other)[turn % 2], cursor, "" if is_last else "1s")
                known |= found
                if is_last and not found:
                    break
            writer.join()
            listed = ok(one, "GET", "secrets?prefix=secret/")["secrets"]
            assert known == {s["name"]: s["version"] for s in listed if s["name"] in known}
            assert {s["name"] for s in listed} - known.keys() == {"secret/first"}
