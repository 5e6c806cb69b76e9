"""No cache of the running agent tells what is gone: each policy, with readers and writers at once.

The cache is as small as it may be and the values are large, so that rows come and go all the time.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Client, own_folder, running, served_agent
from tests.acceptance.native.test_story import ok

API = "/api/v1"
ROUNDS = 30
PADDING = "x" * 60_000  # some 15 values fill the cache
NAMES = [f"secret/race/{i}" for i in range(24)]
DOOMED = NAMES[::4] + NAMES[1::4]  # are deleted in the end


@pytest.fixture(scope="module", params=["lru", "lfu", "ttl", "lru of two workers"])
def small(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """An open agent with a cache of 1 MiB."""
    policy, _, several = request.param.partition(" ")
    cache = {"max_size": "1MiB", "eviction_policy": policy}
    if policy == "ttl":
        cache["ttl"] = "200ms"
    server = {
        "listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 2 if several else 1,
    }  # fmt: skip
    with own_folder() as folder:
        key = {"key_management": "file", "key_file": f"{folder}/key"}
        config = {"cache": cache, "encryption": key, "server": server}
        with running(served_agent(folder, config)) as agent:
            made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            agent.token = made.json["root_token"]
            ok(agent, "POST", "system/mounts/secret")
            for name in NAMES:
                ok(agent, "POST", "secrets", {"name": name, "value": [0, PADDING]})
            yield agent


def at_once(*workers: Callable[[], None]) -> None:
    """Run them in threads; raises what any of them raises."""
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker) for worker in workers]:
            done.result()


class Known:
    """What was acknowledged of each name: a version, or that it is deleted."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest = dict.fromkeys(NAMES, 1)
        self.deleted: set[str] = set()


def test_superseded_and_deleted_versions(small: Agent) -> None:
    """Whoever reads after an answer gets what that wrote, or newer; after a deletion, nothing.

    Singly and in a batch.
    """
    known = Known()

    def write(mine: list[str]) -> None:
        with small.client() as client:
            for number in range(2, ROUNDS + 2):
                name = mine[number % len(mine)]
                body = {"value": [number, PADDING]}
                written = ok(client, "PUT", f"secrets/{name}", body)["version"]
                with known.lock:
                    known.newest[name] = written
            for name in [name for name in mine if name in DOOMED]:
                ok(client, "DELETE", f"secrets/{name}")
                with known.lock:
                    known.deleted.add(name)

    def read(shift: int) -> None:
        with small.client() as client:
            for i in range(3 * ROUNDS):
                name = NAMES[(i * 7 + shift) % len(NAMES)]
                with known.lock:
                    least, gone = known.newest[name], name in known.deleted
                answer = client.call("GET", f"{API}/secrets/{name}")
                check(name, answer.status, answer.json, least, gone=gone)

    def read_many() -> None:
        with small.client() as client:
            for _ in range(ROUNDS // 2):
                with known.lock:
                    least, gone = dict(known.newest), set(known.deleted)
                for name, item in zip(NAMES, batch(client, NAMES), strict=True):
                    check(name, item["status"], item.get("secret"), least[name], gone=name in gone)

    def check(name: str, status: int, secret: Any, least: int, *, gone: bool) -> None:
        if gone:
            assert status == 404, f"{name} was deleted"
        elif status == 200:
            assert secret["version"] >= least, f"{name}: {secret['version']} after {least}"
        else:
            assert status == 404
            assert name in DOOMED  # it went while we asked

    halves = NAMES[::2], NAMES[1::2]
    at_once(
        lambda: write(halves[0]), lambda: write(halves[1]),
        lambda: read(0), lambda: read(5), read_many,
    )  # fmt: skip
    state = ok(small, "GET", "system/cache")
    assert state["bytes"] <= state["max_bytes"] <= 1 << 20  # several processes share it out
    assert state["evictions"] > 0
    assert 0 < state["hit_rate"] < 100
    assert 0 < metric(small, "vault_cache_hit_rate") < 100
    assert metric(small, "vault_cache_bytes") <= 1 << 20


def test_a_destroyed_and_a_purged_one(small: Agent) -> None:
    """Gone from the next request on, however warm it was."""
    ok(small, "POST", "secrets", {"name": "secret/gone", "value": 1})
    ok(small, "PUT", "secrets/secret/gone", {"value": 2})
    with small.client() as client:
        for version in (1, 2):
            ok(client, "GET", f"secrets/secret/gone?version={version}")
        ok(small, "POST", "destroy/secret/gone", {"versions": [1]})
        assert client.call("GET", f"{API}/secrets/secret/gone?version=1").status == 404
        assert ok(client, "GET", "secrets/secret/gone")["value"] == 2
        ok(small, "DELETE", "metadata/secret/gone")
        assert client.call("GET", f"{API}/secrets/secret/gone").status == 404
        ok(small, "POST", "secrets", {"name": "secret/gone", "value": 3})
        assert ok(client, "GET", "secrets/secret/gone")["value"] == 3


def test_a_revoked_credential(small: Agent) -> None:
    """A token, a policy or a key that is taken away counts for no request after the answer."""
    rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
    ok(small, "PUT", "policies/race", {"rules": [rule]})
    stop = threading.Event()

    def busy() -> None:
        with small.client() as client:
            while not stop.is_set():
                ok(client, "GET", "secrets/secret/warm")

    def take_away(credential: str, status: int, *request: Any) -> None:
        with small.client(credential) as client, small.client(credential) as other:
            for each in (client, other):
                ok(each, "GET", "secrets/secret/warm")
            ok(small, *request)
            for each in (other, client):
                assert each.call("GET", f"{API}/secrets/secret/warm").status == status
        ok(small, "PUT", "policies/race", {"rules": [rule]})

    def revoke() -> None:
        try:
            for i in range(5):
                token = ok(small, "POST", "tokens", {"policies": ["race"]})["token"]
                take_away(token, 403, "PUT", "policies/race", {"rules": []})
                take_away(token, 401, "POST", "tokens/revoke", {"token": token})
                key = ok(small, "POST", "keys", {"user": "racer", "name": f"key {i}"})
                take_away(key["key"], 401, "DELETE", f"keys/{key['id']}")
        finally:
            stop.set()

    ok(small, "POST", "users", {"username": "racer", "policies": ["race"]})
    ok(small, "POST", "secrets", {"name": "secret/warm", "value": 1})
    at_once(busy, revoke)


def test_rotation_and_rewrap(small: Agent) -> None:
    """What was cached before keys changed is read as it is stored now."""
    ok(small, "POST", "secrets", {"name": "secret/key", "value": 1})
    before = ok(small, "GET", "secrets/secret/key")["key_id"]
    ok(small, "POST", "system/rotate")
    ok(small, "POST", "system/rewrap")
    after = ok(small, "GET", "secrets/secret/key")
    assert (after["value"], after["key_id"] != before) == (1, True)


def batch(client: Client, names: list[str]) -> list[Any]:
    """The results of a batch read."""
    answer = client.call("POST", f"{API}/batch/read", {"names": names})
    assert answer.status in {200, 207}
    results: list[Any] = answer.json["results"]
    return results


def metric(agent: Agent, name: str) -> float:
    """What Prometheus would read."""
    text = agent.call("GET", "/metrics", token="").body.decode()
    return float(text.partition(f"\n{name} ")[2].split()[0])
