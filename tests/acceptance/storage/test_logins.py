"""Logins on two agents of one database: what counts once counts once, a lockout holds on both."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, Answer, running, served_agent

RACING = 100
SESSIONS = 10  # of a user, as it is set by default


def make_agent(folder: Path, url: str) -> Agent:
    """An agent on this database."""
    folder.mkdir()
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
            "storage": {"type": "postgresql", "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder.parent}/root.key"},
        },
    )


@contextmanager
def two_agents(folder: Path, url: str) -> Iterator[tuple[Agent, Agent]]:
    """Both run on one database."""
    first, second = (make_agent(folder / name, url) for name in ("first", "second"))
    with running(first):
        made = first.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        first.token = second.token = made.json["root_token"]
        with running(second):
            yield first, second


def ok(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, f"/v1/{path}", body)
    assert answer.status in {200, 204}, (path, answer.body)
    return answer.json


def test_two_agents(folder: Path, postgresql: Any) -> None:
    """A hundred logins at once with one secret-id: one gets a token, which counts at both.

    Five wrong passwords, given now here and now there, lock a name at both; a mount that one
    disables ends its tokens at the other.
    """
    with two_agents(folder, postgresql()) as agents:
        first, second = agents
        ok(first, "POST", "sys/auth/approle", {"type": "approle"})
        ok(second, "POST", "auth/approle/role/web", {"secret_id_num_uses": 1})
        role_id = ok(first, "GET", "auth/approle/role/web/role-id")["data"]["role_id"]
        made = ok(second, "POST", "auth/approle/role/web/secret-id")["data"]
        shown = {"role_id": role_id, "secret_id": made["secret_id"]}

        def log_in(number: int) -> Answer:
            with agents[number % 2].client() as client:
                return client.call("POST", "/v1/auth/approle/login", shown, token="")

        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(log_in, range(RACING)))
        told = Counter(answer.status for answer in answers)
        assert told[200] == 1, told
        assert set(told) <= {200, 400, 503}, told
        token = next(answer for answer in answers if answer.status == 200).json["auth"]
        for agent in agents:
            found = agent.call("GET", "/v1/auth/token/lookup-self", token=token["client_token"])
            assert found.json["data"]["accessor"] == token["accessor"]

        ok(first, "POST", "sys/auth/userpass", {"type": "userpass"})
        ok(first, "POST", "auth/userpass/users/ann", {"password": "right"})
        for number, name in enumerate(("ann", "ANN", "Ann", "aNN", "ann")):
            answer = agents[number % 2].call(
                "POST", f"/v1/auth/userpass/login/{name}", {"password": "wrong"}, token=""
            )
            assert answer.status == 400, answer.body
        for agent in agents:
            answer = agent.call(
                "POST", "/v1/auth/userpass/login/anN", {"password": "right"}, token=""
            )
            assert answer.status == 403, answer.body

        ok(second, "DELETE", "sys/auth/approle")
        found = first.call("GET", "/v1/auth/token/lookup-self", token=token["client_token"])
        assert found.status == 403

        check_sessions(agents)


def check_sessions(agents: tuple[Agent, Agent]) -> None:
    """Of any number of logins at once ten sessions are left; one that ends at one ends at both."""

    def log_in(number: int) -> str:
        with agents[number % 2].client() as client:
            answer = client.call(
                "POST", "/v1/auth/userpass/login/bob", {"password": "right"}, token=""
            )
        assert answer.status == 200, answer.body
        text: str = answer.json["auth"]["client_token"]
        return text

    def is_let_in(agent: Agent, token: str) -> bool:
        return agent.call("GET", "/v1/auth/token/lookup-self", token=token).status == 200

    ok(agents[0], "POST", "auth/userpass/users/bob", {"password": "right"})
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(log_in, range(24)))
    left = [token for token in tokens if is_let_in(agents[0], token)]
    assert len(left) == SESSIONS
    assert [token for token in tokens if is_let_in(agents[1], token)] == left
    listed = agents[1].call("GET", "/api/v1/sessions", token=left[0]).json["sessions"]
    assert len(listed) == SESSIONS
    other = next(one["accessor"] for one in listed if not one["current"])
    assert agents[1].call("DELETE", f"/api/v1/sessions/{other}", token=left[0]).status == 204
    assert sum(is_let_in(agents[0], token) for token in left) == SESSIONS - 1
