"""The oracle asks a real agent, and tells what was acknowledged there and does not hold."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from loadtests.durability.operations import (
    KINDS_UNDER_LOAD,
    ClientOperation,
    Kind,
    check_operations,
    run_operations,
)
from loadtests.durability.process import begin, make_agent
from tests.acceptance.link.estate import until


def test_the_oracle_tells_what_was_undone(folder: Path) -> None:
    """What still counts, is still read, is not there or is as before: a line each."""
    agent = make_agent(folder, folder / "data")
    begin(agent)
    try:
        made = agent.call("POST", "/v1/auth/token/create", {"policies": ["default"]})
        for name in ("doomed", "gone"):
            agent.call("POST", f"/v1/secret/data/{name}", {"data": {"w": "doomed"}})
        token = made.json["auth"]["client_token"]
        deeds = {
            "the token was revoked": ClientOperation("revoke", token, "ok"),
            "the value was destroyed": ClientOperation("destroy", "secret/doomed", "ok"),
            "the value was deleted": ClientOperation("delete", "secret/gone", "ok"),
            "the token was issued": ClientOperation("issue", "s.nobody-issued-this-one", "ok"),
            "the policy was written": ClientOperation("policy", "written", "ok"),
            "lost, the key": ClientOperation("rotate", "2", "ok"),
        }
        told = list(check_operations(agent, deeds.values()))
        assert [words in line for words, line in zip(deeds, told, strict=True)] == [True] * 6
        agent.call("POST", "/v1/auth/token/revoke", {"token": token})
        agent.call("POST", "/v1/secret/destroy/doomed", {"versions": [1]})
        agent.call("DELETE", "/v1/secret/data/gone")
        agent.call("POST", "/api/v1/system/rotate")
        done = [deed for deed in deeds.values() if deed.kind not in {"issue", "policy"}]
        assert list(check_operations(agent, done)) == []
        assert list(check_operations(agent, done[:1] * 120)) == []  # beyond the pace of failures
    finally:
        agent.kill()


def test_what_is_done_under_load_is_judged(folder: Path) -> None:
    """Of each kind some are acknowledged, and hold."""
    agent = make_agent(folder, folder / "data")
    begin(agent)
    stop = threading.Event()
    done: dict[Kind, list[ClientOperation]] = {kind: [] for kind in KINDS_UNDER_LOAD}
    try:
        with ThreadPoolExecutor(len(done)) as pool, ExitStack() as ending:
            ending.callback(stop.set)
            for kind, log in done.items():
                pool.submit(run_operations, agent, kind, f"load/{kind}", stop, log)
            until(lambda: all(any(d.state == "ok" for d in log) for log in done.values()), "deeds")
        assert list(check_operations(agent, chain.from_iterable(done.values()))) == []
    finally:
        agent.kill()
