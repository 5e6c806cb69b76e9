"""A browser's session: cookie and session key, from the agent's own page, and nowhere else."""

from collections.abc import Iterator
from http.cookies import SimpleCookie

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok
from tests.acceptance.serve.test_hsm import contents


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With its web interface."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        yield started


def signed_in(agent: Agent) -> tuple[str, str, dict[str, str]]:
    """Name and value of a session's cookie, and what our own page sends with its session key."""
    page = {"Origin": agent.address, "Sec-Fetch-Site": "same-origin"}
    answer = agent.call("POST", f"{API}/sessions", headers=page)
    assert answer.status == 201
    ((name, morsel),) = SimpleCookie(answer.headers["set-cookie"]).items()
    return name, morsel.value, page | {"X-Session-Key": answer.json["session_key"]}


def test_its_value_is_no_bearer_credential(agent: Agent) -> None:
    """Whoever reads the cookie on its way to another port has no token."""
    name, value, page = signed_in(agent)
    assert str(agent.port) in name
    for path in (f"{API}/policies", f"{API}/tokens/self", "/v1/auth/token/lookup-self"):
        refused = 403 if path.startswith("/v1/") else 401
        whole = f"{value}:{page['X-Session-Key']}"
        for headers, token in (
            ({}, value),
            ({}, whole),
            ({"Authorization": "", "X-Vault-Token": value}, ""),
            ({"Authorization": "", "X-Vault-Token": whole}, ""),
        ):
            answer = agent.call("GET", path, token=token, headers=headers)
            assert answer.status == refused, (path, headers)
            (event,) = ok(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
            assert (event["result"], event["actor_id"]) == ("denied", "anonymous")
    cookie = page | {"Cookie": f"{name}={value}"}
    assert agent.call("GET", f"{API}/policies", token="", headers=cookie).status == 200
    assert agent.call("GET", f"{API}/policies", token=value, headers=cookie).status == 401


def test_no_other_credential_is_a_cookie(agent: Agent) -> None:
    """A token or an API key that somebody plants opens nothing."""
    name, _, page = signed_in(agent)
    ok(agent, "POST", "users", {"username": "ann"})
    key = ok(agent, "POST", "keys", {"user": "ann", "name": "k"})["key"]
    for planted in (agent.token, key):
        cookie = page | {"Cookie": f"{name}={planted}"}
        assert agent.call("GET", f"{API}/tokens/self", token="", headers=cookie).status in {
            401,
            403,
        }


def test_what_it_makes_is_a_token(agent: Agent) -> None:
    """A child of the session is an ordinary one, and ends with it."""
    name, value, page = signed_in(agent)
    cookie = page | {"Cookie": f"{name}={value}"}
    made = agent.call("POST", f"{API}/tokens", {"policies": ["default"]}, token="", headers=cookie)
    assert made.status == 201, made.body
    ok(agent, "GET", "tokens/self", token=made.json["token"])
    assert agent.call("DELETE", f"{API}/sessions/current", token="", headers=cookie).status == 204
    assert agent.call("GET", f"{API}/tokens/self", token=made.json["token"]).status == 401


def test_the_session_key_is_told_once_and_kept_nowhere(agent: Agent) -> None:
    """No later answer has it, nor the database, nor the log."""
    name, value, page = signed_in(agent)
    key, cookie = page["X-Session-Key"], page | {"Cookie": f"{name}={value}"}
    for method, path in (
        ("GET", "sessions/current"),
        ("POST", "sessions/current/renew"),
        ("GET", "tokens/self"),
        ("GET", "audit/events?operation=session.open"),
    ):
        answer = agent.call(method, f"{API}/{path}", token="", headers=cookie)
        assert answer.status == 200, answer.body
        assert key.encode() not in answer.body, path
        assert key not in str(answer.headers), path
    assert not any(key.encode() in each for each in contents(agent.folder))


def test_a_key_is_of_its_own_session(agent: Agent) -> None:
    """Reading a secret as signing out: another session's key, of the same person's, is none."""
    ok(agent, "POST", "secrets", {"name": "secret/held", "value": 1})
    (name, value, page), (_, _, other) = signed_in(agent), signed_in(agent)
    for method, path in (("GET", "secrets/secret/held"), ("DELETE", "sessions/current")):
        for key in (other["X-Session-Key"], "x", ""):
            mixed = page | {"Cookie": f"{name}={value}", "X-Session-Key": key}
            answer = agent.call(method, f"{API}/{path}", token="", headers=mixed)
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    cookie = page | {"Cookie": f"{name}={value}"}
    assert agent.call("GET", f"{API}/secrets/secret/held", token="", headers=cookie).status == 200


def test_a_cookie_of_another_version_is_a_clear_no(agent: Agent) -> None:
    """It was a token's whole text once; cut in two it is no session either."""
    name, _, page = signed_in(agent)
    for cookie, key in ((agent.token, "x" * 43), ("s", agent.token.removeprefix("s."))):
        headers = page | {"Cookie": f"{name}={cookie}", "X-Session-Key": key}
        answer = agent.call("GET", f"{API}/sessions/current", token="", headers=headers)
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
