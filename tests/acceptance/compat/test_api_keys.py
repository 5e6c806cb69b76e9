"""An API key is used like a token: by `bao`, and by hvac. OpenBao has none, so it is not asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.compat.client import tell
from tests.acceptance.compat.servers import Server
from tests.acceptance.compat.stories import Step
from tests.acceptance.native.test_story import API, ok

RULES = [
    {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read", "create", "list"]},
    {"effect": "allow", "paths": ["auth/token/create"], "capabilities": ["update"]},
]
ENDS = "2100-01-01T00:00:00Z"


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a user who has a policy that is there and one that is not."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        ok(started, "PUT", "policies/app", {"rules": RULES})
        ok(started, "POST", "users", {"username": "ann", "policies": ["app"]})
        yield started


def key(agent: Agent, **more: str) -> tuple[str, str]:
    """Id and text of a new key."""
    made = ok(agent, "POST", "keys", {"user": "ann", "name": "ci", **more})
    return made["id"], made["key"]


def test_hvac(agent: Agent) -> None:
    """It is authenticated, sees what it is, is not renewed, and can end itself."""
    key_id, text = key(agent)
    client = hvac.Client(url=agent.address, token=text)
    assert client.is_authenticated()
    client.secrets.kv.v2.create_or_update_secret(f"k{key_id}", {"a": "b"})
    seen = client.auth.token.lookup_self()["data"]
    assert {name: seen[name] for name in ("accessor", "id", "policies", "renewable", "ttl")} == {
        "accessor": key_id, "id": text, "policies": ["app", "default"], "renewable": False,
        "ttl": 0,
    }  # fmt: skip
    assert (seen["display_name"], seen["path"], seen["type"]) == ("key-ann", "sys/keys", "service")
    with pytest.raises(hvac.exceptions.InvalidRequest, match="lease is not renewable"):
        client.auth.token.renew_self()
    child = hvac.Client(url=agent.address, token=client.auth.token.create()["auth"]["client_token"])
    assert child.is_authenticated()
    client.auth.token.revoke_self()
    assert not client.is_authenticated()
    assert not child.is_authenticated()
    assert ok(agent, "GET", f"keys/{key_id}")["status"] == "revoked"


def test_a_key_that_ends(agent: Agent) -> None:
    """Its end is told as a token's is."""
    _, text = key(agent, expires_at=ENDS)
    seen = hvac.Client(url=agent.address, token=text).auth.token.lookup_self()["data"]
    assert seen["expire_time"] == ENDS
    assert 0 < seen["ttl"] <= seen["creation_ttl"]


def test_bao(agent: Agent, tmp_path: Path) -> None:
    """`bao login KEY`, and what follows with the token that it keeps."""
    _, text = key(agent)
    server = Server("freehold", agent.address, text)
    told = tell(
        server,
        [
            Step(f"login -format=json {text}"),
            Step("token lookup -format=json"),
            Step("kv put secret/bao a=b"),
            Step("token renew"),
            Step("token revoke -self"),
            Step("token lookup"),
        ],
        tmp_path,
    )
    codes = [outcome.exit_code for outcome in told]
    assert codes == [0, 0, 0, 2, 0, 2], told


def test_the_native_dialect_sees_it_too(agent: Agent) -> None:
    """`tokens/self` and `sessions` of a key are those of its holder."""
    key_id, text = key(agent)
    assert ok(agent, "GET", "tokens/self", token=text)["accessor"] == key_id
    answer = agent.call("POST", f"{API}/tokens/self/renew", {}, token=text)
    assert (answer.status, answer.json["code"]) == (400, "not_renewable")
    ok(agent, "DELETE", "tokens/self", token=text)
    assert agent.call("GET", f"{API}/tokens/self", token=text).status == 401


def test_a_policy_that_is_not_there(agent: Agent) -> None:
    """Whoever is given one hears so: users, roles, keys and tokens, in both dialects."""
    warning = ['Policy "not-there" does not exist']
    user = ok(agent, "POST", "users", {"username": "w", "policies": ["not-there", "app"]})
    assert user["warnings"] == warning
    at = f"users/{user['id']}"
    assert ok(agent, "PATCH", at, {"email": "a@example.org"})["warnings"] == warning
    assert ok(agent, "POST", "keys", {"user": "w", "name": "k"})["warnings"] == warning
    assert ok(agent, "PATCH", at, {"policies": ["app"]})["warnings"] == []
    assert ok(agent, "POST", "keys", {"user": "w", "name": "k2"})["warnings"] == []
    assert ok(agent, "PUT", "roles/w", {"policies": ["not-there"]})["warnings"] == warning
    assert ok(agent, "PATCH", at, {"roles": ["w"]})["warnings"] == warning
    by_role = ok(agent, "POST", "users", {"username": "w2", "roles": ["w"], "policies": ["app"]})
    assert by_role["warnings"] == warning
    ok(agent, "DELETE", "roles/w")
    gone = ok(agent, "PATCH", at, {"email": "b@example.org"})["warnings"]
    assert gone == ['Role "w" does not exist']
    assert ok(agent, "POST", "tokens", {"policies": ["not-there"]})["warnings"] == warning
    made = agent.call("POST", "/v1/auth/token/create", {"policies": ["not-there", "root2"]})
    assert json.loads(made.body)["warnings"] == [*warning, 'Policy "root2" does not exist']
    assert "warnings" not in ok(agent, "GET", at)
