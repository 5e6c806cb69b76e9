"""Tests of health and metrics."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.reply import Reply
from vault.metrics import Metrics
from vault.seal.manager import SealStatus


class FakeGate:
    """In some state."""

    def __init__(self, *, initialized: bool, sealed: bool, refusing: str = "") -> None:
        self._status = SealStatus(
            type="shamir", initialized=initialized, sealed=sealed, refusing=refusing
        )

    def status(self) -> SealStatus:
        """This one."""
        return self._status


async def ask(
    path: str,
    *,
    initialized: bool = True,
    sealed: bool = False,
    refusing: str = "",
    enabled: bool = True,
) -> Reply:
    """One request without a credential."""
    gate: Any = FakeGate(initialized=initialized, sealed=sealed, refusing=refusing)
    world = FakeWorld()
    ops = OpsDialect(gate, world, Metrics(enabled=enabled), NativeDialect(gate, world))
    scope = {
        "method": "GET", "raw_path": path.encode(), "query_string": b"", "headers": [],
        "client": None,
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    reply, _ = await ops.handle(scope, receive)
    return reply


@pytest.mark.parametrize(
    ("initialized", "sealed", "status", "state"),
    [
        (True, False, 200, "ready"), (True, True, 503, "sealed"),
        (False, True, 503, "uninitialized"),
    ],
)  # fmt: skip
async def test_ready(*, initialized: bool, sealed: bool, status: int, state: str) -> None:
    """Only an agent that serves is ready, and it says what keeps it."""
    reply = await ask("/health/ready", initialized=initialized, sealed=sealed)
    assert (reply.status, json.loads(reply.body)) == (status, {"status": state})


async def test_an_agent_that_serves_nothing_is_not_ready() -> None:
    """Though it is open; it says why. It lives: a restart would not help."""
    reply = await ask("/health/ready", refusing="the disk is full")
    assert reply.status == 503
    assert json.loads(reply.body) == {"status": "refusing", "reason": "the disk is full"}
    assert (await ask("/health/live", refusing="the disk is full")).status == 200


async def test_live() -> None:
    """Sealed is alive: a restart would not help. It says what is alive."""
    reply = await ask("/health/live", sealed=True)
    assert reply.status == 200
    assert json.loads(reply.body) == {"status": "live", "version": version("freehold")}


async def test_metrics() -> None:
    """In Prometheus' format; not there when they are switched off."""
    reply = await ask("/metrics")
    assert reply.content_type.startswith(b"text/plain; version=0.0.4")
    assert b"vault_secret_operations_total" in reply.body
    assert (await ask("/metrics", enabled=False)).status == 404


async def test_everything_else() -> None:
    """Is told as the native dialect tells it."""
    reply = await ask("/robots.txt")
    assert reply.status == 404
    assert json.loads(reply.body)["code"] == "route_not_found"
