"""Sessions of logins on all workers: idle time, number, revocation, open streams, both dialects."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import PATIENCE, Agent, Answer, Client, own_folder, running, served_agent
from tests.acceptance.workers.fleet import pinned
from tests.support.waiting import wait_until

MOST = 3


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """Three sessions a user, and the user `ann`."""
    with own_folder() as folder, running(_made(folder, request.param)) as started:
        made = started.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        started.call("PUT", "/v1/sys/unseal", {"key": made.json["keys"][0]})
        started.token = made.json["root_token"]
        ok(started.call("POST", "/v1/sys/auth/people", {"type": "userpass"}))
        for name in ("ann", "bob"):
            ok(started.call("POST", f"/v1/auth/people/users/{name}", {"password": "right"}))
        yield started


def _made(folder: Path, workers: int) -> Agent:
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "workers": workers, "tls": {"enabled": False}},
            "authentication": {"max_sessions_per_user": MOST, "session_timeout": "8h"},
        },
    )
