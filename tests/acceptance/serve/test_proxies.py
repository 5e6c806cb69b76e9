"""An agent behind a proxy: conditions on addresses and limits of failures are of the client."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, running, served_agent

pytestmark = pytest.mark.usefixtures("workers")

SECRET = "/v1/secret/data/app"
BURST = 3


@dataclass
class Proxied:
    """An agent, and a token for one network alone. `trusted`: it believes its proxy, the tests."""

    agent: Agent
    token: str
    trusted: bool

    def status(self, said: str, token: str) -> int:
        """Of reading the secret, with this said of the client."""
        headers = {"X-Forwarded-For": said}
        return self.agent.call("GET", SECRET, token=token, headers=headers).status


@pytest.fixture(params=[True, False], ids=["trusted", "not-trusted"])
def proxied(folder: Path, request: pytest.FixtureRequest) -> Iterator[Proxied]:
    """Running."""
    proxies = {"addresses": ["127.0.0.1"] if request.param else ["10.0.0.1"]}
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "proxies": proxies}
    encryption = {"key_management": "file", "key_file": f"{folder}/root.key"}
    limits = {"failures": {"per_second": 0.001, "burst_size": BURST}}
    made = served_agent(folder, {"server": server, "encryption": encryption, "limits": limits})
    with running(made):
        told = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = told.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        assert made.call("POST", SECRET, {"data": {"a": 1}}).status == 200
        here = {"type": "source_network", "networks": ["198.51.100.0/24"]}
        rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
        body = {"rules": [{**rule, "conditions": [here]}]}
        assert made.call("PUT", "/api/v1/policies/near", body).status in {200, 201}
        token = made.call("POST", "/v1/auth/token/create", {"policies": ["near"]}).json
        yield Proxied(made, token["auth"]["client_token"], request.param)


def test_a_client_is_where_it_is(proxied: Proxied) -> None:
    """What the proxy saw counts, not what the client says of itself; without a proxy neither."""
    status, token = proxied.status, proxied.token
    assert status("198.51.100.7", token) == (200 if proxied.trusted else 403)
    for spoofed in ("198.51.100.7, 203.0.113.9", "198.51.100.7, 127.0.0.1, 203.0.113.9", "here"):
        assert status(spoofed, token) == 403, spoofed
    if not proxied.trusted:
        return
    wrong = [status("203.0.113.9", f"wrong-{n}") for n in range(BURST + 2)]
    assert wrong == [403] * BURST + [429] * 2
    for n in range(2):  # with another address at the left it is the same client
        assert status(f"192.0.2.{n}, 203.0.113.9", "wrong") == 429
    assert status("198.51.100.8", "wrong") == 403  # another client has its own
