"""Somebody with the database file leads searches astray: no answer is wrong, and none is silent."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, running
from tests.acceptance.faults.pages import mapped, swap
from tests.acceptance.workers.fleet import fleet_agent
from tests.acceptance.workers.waiting import await_true

CODE: Final = re.compile(r"freehold: (\w+): ")
LOOKUP: Final = ("GET", "/v1/auth/token/lookup-self")
REVOKE_SELF: Final = ("POST", "/v1/auth/token/revoke-self")


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that is down."""
    return fleet_agent(folder, request.param) if request.param > 1 else dev_agent(folder)


def token(agent: Agent, *policies: str) -> dict[str, Any]:
    """A new one: `client_token` and `accessor`."""
    made = agent.call("POST", "/v1/auth/token/create", {"policies": policies, "ttl": "9h"})
    return dict(made.json["auth"])


def works(agent: Agent, text: str) -> bool:
    """Whether it is a token."""
    return agent.call(*LOOKUP, token=text).status == 200


def write(agent: Agent) -> Answer:
    """Have a commit, after which connections look at the file anew."""
    return agent.call("POST", "/v1/secret/data/any", {"data": {"k": "v"}})


def is_sealed(agent: Agent) -> bool:
    """Whether it serves nobody."""
    return agent.call(*LOOKUP).status == 503


def told(agent: Agent) -> set[str]:
    """The codes of the alerts on record that somebody else writes."""
    found = agent.call("GET", "/api/v1/audit/events?operation=store.foreign_write")
    return {event["code"] for event in found.json["events"]}


def test_an_index_that_leads_to_somebody_elses_token(agent: Agent) -> None:
    """Whose own token is asked for by its accessor ends his own, and never another one."""
    with running(agent):
        weak, strong = token(agent, "default"), token(agent, "root")
        assert write(agent).status == 200
    pair = ("sqlite_autoindex_tokens_2", weak["accessor"], strong["accessor"])
    with running(agent):
        for _ in range(4):  # in the cache of whoever answers
            for made in (weak, strong):
                agent.call("GET", "/api/v1/users", token=made["client_token"])
        with mapped(agent.database) as database:
            swap(database, agent.database, *pair)
            assert write(agent).status == 200
            assert agent.call(*REVOKE_SELF, token=weak["client_token"]).status == 503
            await_true(lambda: is_sealed(agent))
            swap(database, agent.database, *pair)
    with running(agent):
        assert "row_tampered" in told(agent)
        assert works(agent, weak["client_token"])
        assert works(agent, strong["client_token"])


def test_an_index_that_leads_to_another_user(agent: Agent) -> None:
    """A key that is made for one of them is never the other's."""
    with running(agent):
        for name, policies in (("first", []), ("ann", []), ("bob", ["root"])):
            user = {"username": name, "policies": policies}
            assert agent.call("POST", "/api/v1/users", user).status in {200, 201}
        assert write(agent).status == 200
    pair = ("sqlite_autoindex_users_2", "ann", "bob")
    with running(agent):
        for _ in range(4):
            agent.call("GET", "/api/v1/users")
        with mapped(agent.database) as database:
            swap(database, agent.database, *pair)
            assert write(agent).status == 200
            made = agent.call("POST", "/api/v1/keys", {"user": "ann", "name": "k"})
            assert made.status == 503, made.body
            await_true(lambda: is_sealed(agent))
            swap(database, agent.database, *pair)
    with running(agent):
        assert "row_tampered" in told(agent)
