"""Who was let in by one worker and is not any more, is refused by every other one."""

from collections.abc import Iterator

import pytest

from tests.acceptance.agent import Agent, Client, own_folder, running
from tests.acceptance.native.test_story import ok
from tests.acceptance.workers.fleet import fleet_agent, pinned

RULE = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read", "update"]}
LET_IN = {"read": [200, 200], "write": [200, 200]}


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """Two workers, a secret, and who may read and write it by a policy."""
    with own_folder() as folder, running(fleet_agent(folder)) as started:
        ok(started, "POST", "secrets", {"name": "secret/box", "value": 1})
        ok(started, "PUT", "policies/worker", {"rules": [RULE]})
        yield started


def answers(clients: list[Client]) -> dict[str, list[int]]:
    """The statuses of a read and of a write by each."""
    at = "/api/v1/secrets/secret/box"
    return {
        "read": [client.call("GET", at).status for client in clients],
        "write": [client.call("PUT", at, {"value": 2}).status for client in clients],
    }


def refused(status: int) -> dict[str, list[int]]:
    """The same of who is refused everywhere."""
    return {"read": [status] * 2, "write": [status] * 2}


def test_a_revoked_key(agent: Agent) -> None:
    """From the next request on."""
    ok(agent, "POST", "users", {"username": "keys", "policies": ["worker"]})
    key = ok(agent, "POST", "keys", {"user": "keys", "name": "first"})
    with pinned(agent) as (one, _), pinned(agent, key["key"]) as others:
        assert answers(others) == LET_IN
        ok(one, "DELETE", f"keys/{key['id']}")
        assert answers(others[::-1]) == refused(401)


def test_what_a_user_and_his_role_give(agent: Agent) -> None:
    """A role without its policy, a user with another status, and one who is deleted."""
    ok(agent, "PUT", "roles/worker", {"policies": ["worker"]})
    user = ok(agent, "POST", "users", {"username": "role", "roles": ["worker"]})
    key = ok(agent, "POST", "keys", {"user": "role", "name": "his"})["key"]
    with pinned(agent) as (one, two), pinned(agent, key) as others:
        assert answers(others) == LET_IN
        ok(one, "PUT", "roles/worker", {"policies": []})
        assert answers(others[::-1]) == refused(403)
        ok(two, "PUT", "roles/worker", {"policies": ["worker"]})
        assert answers(others) == LET_IN
        ok(one, "PATCH", f"users/{user['id']}", {"status": "disabled"})
        assert answers(others[::-1]) == refused(401)
        ok(two, "PATCH", f"users/{user['id']}", {"status": "active"})
        assert answers(others) == LET_IN
        ok(one, "DELETE", f"users/{user['id']}")
        assert answers(others[::-1]) == refused(401)
