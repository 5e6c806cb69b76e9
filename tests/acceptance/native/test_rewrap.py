"""After a rotation older values come under the newest key, and older keys can be dropped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold

API = "/api/v1"


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Iterator[Agent]:
    """Twenty versions under the first key, and one under the second."""
    made = dev_agent(folder)
    made.command += ["--workers", str(request.param)]
    with running(made) as found:
        for number in range(20):
            told(found, "POST", "secrets", {"name": f"secret/{number}", "value": number})
        told(found, "POST", "system/rotate")
        told(found, "POST", "secrets", {"name": "secret/new", "value": "new"})
        yield found
        assert "Traceback" not in found.output()


def told(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """The answer of a request that is taken."""
    answer = agent.call(method, f"{API}/{path}", body)
    assert answer.status in {200, 201}, answer.body
    return answer.json


def everything(agent: Agent) -> set[str]:
    """All values are read, by several connections; the keys that they are under."""
    keys = set()
    for number in range(20):
        found = told(agent, "GET", f"secrets/secret/{number}")
        assert found["value"] == number
        keys.add(found["key_id"])
    return keys


def run(agent: Agent, *words: str) -> Any:
    """What the command prints."""
    environment = {"FREEHOLD_TOKEN": agent.token}
    done = freehold(
        "--address", agent.address, "operator", *words, "-o", "json", environment=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_older_keys_go_once_nothing_is_under_them(agent: Agent) -> None:
    """Not before; and all is read on, also after a crash."""
    assert not told(agent, "GET", "system/key-status")["rewrapped"]
    refused = agent.call("POST", f"{API}/system/retire-keys")
    assert (refused.status, refused.json["code"]) == (409, "rewrap_incomplete")
    assert run(agent, "rewrap", "--retire") == {"generation": 2, "versions": 20, "retired": [1]}
    state = told(agent, "GET", "system/key-status")
    assert (state["generation"], state["oldest_generation"], state["rewrapped"]) == (2, 2, True)
    assert everything(agent) == {"kek-2"}
    told(agent, "POST", "secrets", {"name": "secret/later", "value": 1})
    agent.kill()
    agent.start()
    assert everything(agent) == {"kek-2"}
    assert run(agent, "rewrap") == {"generation": 2, "versions": 0}


def test_a_pass_that_a_crash_cuts_short_is_done_again(agent: Agent) -> None:
    """What is under the new key stays there, the rest follows."""
    told(agent, "POST", "system/rewrap")
    told(agent, "POST", "system/rotate")
    agent.kill()
    agent.start()
    state = told(agent, "GET", "system/key-status")
    assert (state["generation"], state["rewrapped"]) == (3, False)
    done = told(agent, "POST", "system/rewrap")
    assert (done["versions"], done["complete"]) == (21, True)
    refused = agent.call("POST", f"{API}/system/retire-keys", b"")
    assert refused.json == {"generations": [1, 2]}
    assert everything(agent) == {"kek-3"}
