"""Sessions of logins on all workers: idle time, number, revocation, open streams, both dialects."""

import http.client
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import (
    PATIENCE,
    Agent,
    Answer,
    Client,
    own_folder,
    running,
    served_agent,
)
from tests.acceptance.workers.fleet import pinned

MOST = 3


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """How many serve."""
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def agent(workers: int) -> Iterator[Agent]:
    """Three sessions a user, and the users `ann` and `bob`."""
    with own_folder() as folder, running(_made(folder, workers)) as started:
        made = started.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        started.call("PUT", "/v1/sys/unseal", {"key": made.json["keys"][0]})
        started.token = made.json["root_token"]
        ok(started.call("POST", "/v1/sys/auth/people", {"type": "userpass"}))
        rule = {"effect": "allow", "paths": ["auth/token/create"], "capabilities": ["update"]}
        ok(started.call("PUT", "/api/v1/policies/makes", {"rules": [rule]}))
        for name in ("ann", "bob"):
            user = {"password": "right", "token_policies": "makes"}
            ok(started.call("POST", f"/v1/auth/people/users/{name}", user))
        yield started


@pytest.fixture
def clients(agent: Agent, workers: int) -> Iterator[list[Client]]:
    """A connection to each worker."""
    if workers == 1:
        with agent.client() as client:
            yield [client]
    else:
        with pinned(agent) as found:
            yield found


def _made(folder: Path, workers: int) -> Agent:
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "workers": workers, "tls": {"enabled": False}},
            "authentication": {
                "max_sessions_per_user": MOST,
                "session_timeout": "8h",
                "login_idle": "15m",
            },
        },
    )


def ok(answer: Answer) -> Any:
    """What a call that succeeds is answered."""
    assert answer.status < HTTPStatus.BAD_REQUEST, answer.body
    return answer.json


def log_in(client: Client, name: str = "ann", *, native: bool = False) -> tuple[str, str]:
    """Token and accessor of a login, in one of the dialects."""
    body = {"password": "right"}
    if native:
        told = ok(client.call("POST", f"/api/v1/auth/login/people/login/{name}", body, token=""))
        return told["token"], told["accessor"]
    told = ok(client.call("POST", f"/v1/auth/people/login/{name}", body, token=""))["auth"]
    return told["client_token"], told["accessor"]


def is_let_in(client: Client, token: str) -> bool:
    """Whether a token counts at the worker of this connection."""
    status = client.call("GET", "/api/v1/tokens/self", token=token).status
    assert status in {200, 401}
    return status == HTTPStatus.OK


def sessions(client: Client, token: str, of: str = "") -> list[dict[str, Any]]:
    """The list, the newest first."""
    place = f"/api/v1/users/{of}/sessions" if of else "/api/v1/sessions"
    found: list[dict[str, Any]] = ok(client.call("GET", place, token=token))["sessions"]
    return found


class Follower:
    """A stream of changes at one worker."""

    def __init__(self, agent: Agent, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=PATIENCE)
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        self._connection.request("GET", "/api/v1/changes?prefix=", headers=headers)
        self._reply = self._connection.getresponse()
        assert self._reply.status == HTTPStatus.OK, self._reply.read()

    def read_to_end(self) -> None:
        """Until it is cut. Raises `TimeoutError` for one that goes on silently."""
        until = time.monotonic() + PATIENCE
        while self._reply.readline():
            assert time.monotonic() < until, "it goes on"
        self._connection.close()


def test_more_than_so_many(clients: list[Client]) -> None:
    """Whichever dialect and worker they come by, another one ends the least used, everywhere."""
    made = [log_in(clients[n % len(clients)], native=n % 2 == 0) for n in range(MOST + 2)]
    for client in clients:
        found = [is_let_in(client, token) for token, _ in made]
        assert found == [False, False, True, True, True]
    listed = sessions(clients[0], made[-1][0])
    assert [one["accessor"] for one in listed] == [accessor for _, accessor in made[:1:-1]]
    assert {(one["method"], one["mount"], one["address"]) for one in listed} == {
        ("userpass", "people/", "127.0.0.1")
    }
    assert [one["current"] for one in listed] == [True, False, False]


def test_it_ends_with_the_session_timeout(agent: Agent) -> None:
    """In both dialects, after any renewal."""
    with agent.client() as client:
        for native in (False, True):
            token, _ = log_in(client, "bob", native=native)
            for asked in ("/v1/auth/token/renew-self", "/v1/auth/token/lookup-self"):
                method = "POST" if "renew" in asked else "GET"
                told = ok(client.call(method, asked, {"increment": "768h"}, token=token))
                life = (told["data"] or {}).get("ttl") or told["auth"]["lease_duration"]
                assert 0 < life <= 8 * 3600


def test_one_that_is_revoked_is_over_everywhere(agent: Agent, clients: list[Client]) -> None:
    """With its streams and what it made; by its holder, and by an administrator."""
    for by_administrator in (False, True):
        mine, _ = log_in(clients[0])
        other, accessor = log_in(clients[-1])
        child = ok(clients[0].call("POST", "/api/v1/tokens", {}, token=other))["token"]
        for client in clients:
            assert is_let_in(client, other)
        streams = [Follower(agent, other) for _ in range(3)]
        place = f"/api/v1/sessions/{accessor}"
        if by_administrator:
            user = ok(clients[0].call("GET", "/api/v1/auth/whoami", token=mine))
            entity = ok(clients[0].call("GET", "/v1/auth/token/lookup-self", token=mine))
            place = f"/api/v1/users/{entity['data']['entity_id']}/sessions/{accessor}"
            assert user["method"] == "userpass"
            assert clients[0].call("DELETE", place, token=mine).status == HTTPStatus.FORBIDDEN
            assert is_let_in(clients[0], other)
        token = agent.token if by_administrator else mine
        assert clients[0].call("DELETE", place, token=token).status == HTTPStatus.NO_CONTENT
        for client in reversed(clients):
            assert not is_let_in(client, other)
            assert not is_let_in(client, child)
            assert is_let_in(client, mine)
        for stream in streams:
            stream.read_to_end()
        assert clients[-1].call("DELETE", place, token=token).status == HTTPStatus.NOT_FOUND


def test_a_foreign_session_is_as_one_that_is_not_there(agent: Agent) -> None:
    """Nobody ends what is not theirs, nor learns that it is there."""
    with agent.client() as client:
        mine, _ = log_in(client)
        his, accessor = log_in(client, "bob")
        refused = [
            client.call("DELETE", f"/api/v1/sessions/{name}", token=mine)
            for name in (accessor, "nothing")
        ]
        assert [answer.status for answer in refused] == [HTTPStatus.NOT_FOUND] * 2
        assert refused[0].json["message"] == refused[1].json["message"]
        assert is_let_in(client, his)


def test_whoami(agent: Agent) -> None:
    """By which method, with which policies of the token's own and of its entity, until when."""
    with agent.client() as client:
        ok(client.call("PUT", "/api/v1/policies/of-entity", {"rules": []}))
        token, _ = log_in(client)
        entity = ok(client.call("GET", "/v1/auth/token/lookup-self", token=token))["data"]
        change = {"policies": ["of-entity"]}
        ok(client.call("PATCH", f"/api/v1/entities/{entity['entity_id']}", change))
        told = ok(client.call("GET", "/api/v1/auth/whoami", token=token))
    assert (told["method"], told["mount"]) == ("userpass", "people/")
    assert told["token_policies"] == ["default", "makes"]
    assert told["identity_policies"] == ["of-entity"]
    assert told["idle_until"] < told["expires_at"]
