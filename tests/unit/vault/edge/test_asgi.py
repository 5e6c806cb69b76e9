"""Tests of the ASGI application: which dialect answers, and what is measured."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.edge.asgi import Edge
from vault.edge.reply import Reply


class FakeDialect:
    """Answers with its own name, after some time."""

    def __init__(self, prefix: str, world: FakeWorld) -> None:
        self.prefix = prefix
        self.world = world

    async def answer(self, _scope: Any, _receive: Any) -> tuple[Reply, str]:
        """Half a second later."""
        self.world.advance(0.5)
        return Reply(200, self.prefix.encode()), f"{self.prefix}{{x}}"


class FakeMetrics:
    """Remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, float]] = []

    def request(self, method: str, endpoint: str, seconds: float) -> None:
        """One."""
        self.seen.append((method, endpoint, seconds))


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        (b"/v1/a", "/v1/"), (b"/api/v1/a", "/api/v1/"), (b"/health", "/"), (b"/", "/"),
        (b"/v1", "/"), (b"/%761/a", "/"), (b"//v1/a", "/"), (b"*", "/"),
    ],
)  # fmt: skip
async def test_the_dialect_is_chosen_by_the_path_as_sent(path: bytes, prefix: str) -> None:
    """An escaped prefix is none, so no dialect is reached by two spellings."""
    world, metrics, messages = FakeWorld(), FakeMetrics(), []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads here")

    dialects: Any = [FakeDialect(each, world) for each in ("/v1/", "/api/v1/", "/")]
    edge = Edge(dialects, metrics, world)  # type: ignore[arg-type]  # what it asks of them
    await edge({"raw_path": path, "method": "GET"}, receive, send)
    assert messages[1]["body"] == prefix.encode()
    assert metrics.seen == [("GET", f"{prefix}{{x}}", 0.5)]
