"""`storage.stale_reads`: an agent that is cut off from its server answers for a while."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from loadtests.consistency.proxy import Proxy, run_proxy
from protocols.instant import SECOND, parse_rfc3339
from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.support.postgres import Postgres

LIMIT = 12  # seconds; more than 10, after which a node that commits nothing is silent
WITHIN = 30.0  # seconds, on a busy machine
VALUE = "/v1/secret/data/first"
AS_OF, COMMIT = "x-freehold-as-of", "x-vault-index"


@pytest.fixture
def proxy(postgresql_server: Postgres, tmp_path: Path) -> Iterator[Proxy]:
    """The only way to the server."""
    with run_proxy(postgresql_server.socket, tmp_path) as made:
        yield made


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def agent(
    request: pytest.FixtureRequest,
    postgresql_server: Postgres,
    proxy: Proxy,
    folder: Path,
) -> Iterator[Agent]:
    """An agent behind the proxy, with one secret."""
    url = postgresql_server.empty()
    way = url.replace(quote(str(postgresql_server.folder)), quote(str(proxy.socket.parent)))
    assert way != url
    made = served_agent(
        folder,
        {
            "server": {
                "listen": "127.0.0.1:0",
                "tls": {"enabled": False},
                "workers": request.param,
            },
            "storage": {
                "type": "postgresql",
                "connection_string": way,
                "stale_reads": f"{LIMIT}s",
            },
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        yield made
    assert made.verify().returncode == 0
    assert "Traceback" not in made.output()


def is_stale(answer: Answer) -> bool:
    """Whether it is flagged so."""
    return AS_OF in answer.headers


def await_answer(agent: Agent, holds: Callable[[Answer], object], *question: Any) -> Answer:
    """Ask, the secret unless told otherwise, until the answer is so."""
    until = time.monotonic() + WITHIN
    while not holds(found := agent.call(*(question or ("GET", VALUE)))):
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


def test_reads_of_an_agent_that_is_cut_off(agent: Agent, proxy: Proxy) -> None:
    """What is in memory, flagged and for as long as is said; then 503; then as ever."""
    written = agent.call("POST", VALUE, {"data": {"n": 1}})
    assert agent.call("POST", "/v1/secret/data/other", {"data": {"n": 1}}).status == 200
    began = time.time()
    for _ in range(20):  # on each worker, by new connections
        found = agent.call("GET", VALUE)
        assert found.status == 200
        assert not is_stale(found)
        assert agent.call("LIST", "/v1/secret/metadata/").json["data"]["keys"] == ["first", "other"]
        agent.call("GET", "/api/v1/secrets/secret/first")
        agent.call("GET", "/v1/auth/token/lookup-self")
    assert int(found.headers[COMMIT]) >= int(written.headers[COMMIT]) > 0
    seconds = 4 + math.ceil(time.time() - began)  # a part of that time will do for the same
    short = {"policies": ["root"], "ttl": f"{seconds}s", "renewable": False}
    brief = agent.call("POST", "/v1/auth/token/create", short).json["auth"]["client_token"]
    over = time.time() + seconds
    for _ in range(20):
        assert agent.call("GET", VALUE, token=brief).status == 200
    proxy.freeze()
    cut = time.time()
    found = await_answer(agent, is_stale)
    assert found.status == 200
    assert found.json["data"]["data"] == {"n": 1}
    as_of = parse_rfc3339(found.headers[AS_OF], "time") / SECOND
    assert cut - LIMIT <= as_of <= cut + 1, "a heartbeat is each 3 s"
    stale = agent.call("GET", "/api/v1/secrets/secret/first")
    assert (stale.status, is_stale(stale)) == (200, True)
    own = agent.call("GET", "/v1/auth/token/lookup-self")
    assert (own.status, is_stale(own)) == (200, True)
    listed = agent.call("LIST", "/v1/secret/metadata/")
    assert (listed.json["data"]["keys"], is_stale(listed)) == (["first", "other"], True)
    for refused in (
        agent.call("POST", VALUE, {"data": {"n": 2}}),
        agent.call("GET", "/v1/secret/data/never"),
        agent.call("GET", VALUE, token="s.unknown"),
        agent.call("GET", VALUE, headers={"X-Vault-Index": str(int(found.headers[COMMIT]) + 1)}),
    ):
        assert (refused.status, is_stale(refused)) in {(503, False), (503, True)}, refused
    require_bound(agent, brief, over, cut)
    await_answer(agent, lambda found: found.status == 503, "GET", "/health/ready")
    proxy.resume()
    await_answer(agent, lambda found: found.status == 200 and not is_stale(found))
    await_answer(agent, lambda found: found.status == 200, "POST", VALUE, {"data": {"n": 2}})
    search = f"/api/v1/audit/events?request_id={stale.request_id}"
    events = await_answer(agent, lambda found: found.json["events"], "GET", search).json["events"]
    assert [(event["result"], event["code"]) for event in events] == [("ok", "stale_read")]


def require_bound(agent: Agent, brief: str, over: float, cut: float) -> None:
    """It goes on for as long as is said, the short token until it is over; then 503."""
    statuses: list[tuple[float, int, int]] = []
    while time.time() < cut + LIMIT + 4:
        now = time.time()
        one, other = (agent.call("GET", VALUE, token=token) for token in (agent.token, brief))
        statuses.append((now, one.status, other.status))
        time.sleep(0.2)
    assert {status for at, status, _ in statuses if at > cut + LIMIT + 1} == {503}
    assert {status for at, _, status in statuses if at > over + 1} <= {403, 503}
    if over + 2 < cut + LIMIT:  # as it is on a machine that is not very busy
        assert 403 in {status for _, _, status in statuses}
    assert 200 in {status for at, status, _ in statuses if at > cut + 6}
