"""`authentication.methods`: what is not named neither logs in nor counts."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, own_folder, served_agent
from tests.acceptance.auth.signed import ok, policy

SERVER = {"listen": "127.0.0.1:0", "tls": {"enabled": False}}
LOGIN = {"password": "pw"}


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """Open, with a mount of one method that is named and of one that is not."""
    server = {**SERVER, "workers": request.param}
    with own_folder() as folder:
        first = served_agent(folder, {"server": server})
        first.start()
        share = _prepared(first)
        first.stop()
        made = served_agent(
            folder, {"server": server, "authentication": {"methods": ["userpass", "certificate"]}}
        )
        made.start()
        try:
            made.token = first.token
            assert made.call("PUT", "/v1/sys/unseal", {"key": share}).status == 200
            yield made
        finally:
            made.stop()


def _prepared(agent: Agent) -> str:
    """Its share."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
    agent.token, share = made["root_token"], str(made["keys"][0])
    assert agent.call("PUT", "/v1/sys/unseal", {"key": share}).status == 200
    for kind in ("userpass", "approle"):
        ok(agent, "POST", f"sys/auth/{kind}", {"type": kind})
    policy(agent, "admin", "sys/auth/*", "create", "update", "sudo", "delete")
    policy(agent, "maker", "auth/token/create", "update")
    both = {"token_policies": "admin,maker"}
    ok(agent, "POST", "auth/userpass/users/al", {**LOGIN, **both})
    ok(agent, "POST", "auth/approle/role/r", {"bind_secret_id": False,
        "token_bound_cidrs": "127.0.0.0/8"})  # fmt: skip
    return share


def log_in(agent: Agent) -> str:
    """The token of a login that counts."""
    found: dict[str, Any] = ok(agent, "POST", "auth/userpass/login/al", LOGIN, token="")
    return str(found["auth"]["client_token"])


def test_what_is_named_counts(agent: Agent) -> None:
    """A login, its token and the tokens of that; other tokens do not, root's among them."""
    token = log_in(agent)
    lookup = "/v1/auth/token/lookup-self"
    assert agent.call("GET", lookup, token=token).status == 200
    child = ok(agent, "POST", "auth/token/create", {"ttl": "5m"}, token=token)["auth"]
    assert agent.call("GET", lookup, token=child["client_token"]).status == 200
    assert agent.call("GET", lookup).status == 403


def test_what_is_not_named_does_not(agent: Agent) -> None:
    """Neither by a mount that was there, nor by a new one; both say why."""
    login, shown = "/v1/auth/approle/login", {"role_id": "x"}
    assert agent.call("POST", login, shown, token="").status == 403
    answer = agent.call("POST", login, shown, token=log_in(agent))
    assert answer.status == 404
    assert "authentication.methods" in answer.json["errors"][0]
    native = agent.call("POST", "/api/v1/auth/login/approle/login", {"role_id": "x"}, token="")
    assert native.status == 404
    assert "authentication.methods" in native.json["message"]
    made = agent.call("POST", "/v1/sys/auth/roles", {"type": "approle"}, token=log_in(agent))
    assert made.status == 400
    assert "authentication.methods" in made.json["errors"][0]
    unknown = agent.call("POST", "/v1/sys/auth/x", {"type": "radius"}, token=log_in(agent))
    assert "plugin not found" in unknown.json["errors"][0]
    assert agent.call("DELETE", "/v1/sys/auth/approle", token=log_in(agent)).status == 204
