"""What the External Secrets Operator asks of a Vault, in its order, with an API key as its token.

Its Go client reads by GET, writes by PUT and lists by `GET …?list=true`. Of a 404 without errors it
makes "no such secret"; of any other failure an error of the SecretStore.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.native.test_story import ok

PULL = ["read", "list", "read_metadata"]
PUSH = ["read", "list", "read_metadata", "create", "update", "delete", "destroy"]
RULES = [
    {"effect": "allow", "paths": ["secret/app/*"], "capabilities": PULL},
    {"effect": "allow", "paths": ["secret/pushed/*"], "capabilities": PUSH},
]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """With a secret of two versions, and a user who may read it and push elsewhere."""
    with own_folder() as folder, running(dev_agent(folder)) as started:
        ok(started, "PUT", "policies/eso", {"rules": RULES})
        ok(started, "POST", "users", {"username": "eso", "policies": ["eso"]})
        for password in ("old", "new"):
            data = {"data": {"user": "app", "password": password}}
            answer = requests.put(
                f"{started.address}/v1/secret/data/app/db",
                json=data, headers={"X-Vault-Token": started.token}, timeout=30,
            )  # fmt: skip
            assert answer.status_code == 200
        yield started


@pytest.fixture
def store(agent: Agent) -> "Store":
    """With a key of its own."""
    return Store(agent.address, ok(agent, "POST", "keys", {"user": "eso", "name": "eso"})["key"])


class Store:
    """A SecretStore with `tokenSecretRef`."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}

    def ask(
        self, method: str, path: str, json: Any = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        answer = requests.request(
            method, f"{self._address}/v1/{path}",
            headers=self._headers, json=json, params=query, timeout=30,
        )  # fmt: skip
        return answer.status_code, answer.json() if answer.content else {}


def test_the_store_is_valid(store: Store) -> None:
    """No batch token, and one that does not end within a minute."""
    status, body = store.ask("GET", "auth/token/lookup-self")
    assert (status, body["data"]["type"], body["data"]["ttl"]) == (200, "service", 0)
    assert body["data"]["expire_time"] is None


def test_a_secret_is_pulled(store: Store) -> None:
    """The newest, or the version that is named; what is not there is no error of the store."""
    _, newest = store.ask("GET", "secret/data/app/db")
    assert newest["data"]["data"] == {"user": "app", "password": "new"}
    _, first = store.ask("GET", "secret/data/app/db", version="1")
    assert first["data"]["data"]["password"] == "old"
    assert store.ask("GET", "secret/data/app/none") == (404, {"errors": []})
    assert store.ask("GET", "secret/data/other/db")[0] == 403


def test_secrets_are_found(store: Store) -> None:
    """`dataFrom.find`: the names below a path, then each one's own metadata and value."""
    status, body = store.ask("GET", "secret/metadata/app/", list="true")
    assert (status, body["data"]["keys"]) == (200, ["db"])
    status, body = store.ask("GET", "secret/metadata/app/db")
    assert (status, body["data"]["custom_metadata"]) == (200, None)


def test_a_secret_is_pushed_and_deleted(store: Store) -> None:
    """Marked as the operator's before it is written, so that it may change and delete it."""
    mark = {"custom_metadata": {"managed-by": "external-secrets"}}
    assert store.ask("GET", "secret/data/pushed/x") == (404, {"errors": []})
    assert store.ask("PUT", "secret/metadata/pushed/x", mark)[0] == 204
    value = {"data": {"a": "b"}, "options": {"cas": 0}}
    assert store.ask("PUT", "secret/data/pushed/x", value)[0] == 200
    _, body = store.ask("GET", "secret/metadata/pushed/x")
    assert body["data"]["custom_metadata"] == mark["custom_metadata"]
    assert body["data"]["current_version"] == 1
    assert store.ask("DELETE", "secret/data/pushed/x")[0] == 204
    assert store.ask("DELETE", "secret/metadata/pushed/x")[0] == 204
    assert store.ask("GET", "secret/data/pushed/x") == (404, {"errors": []})
