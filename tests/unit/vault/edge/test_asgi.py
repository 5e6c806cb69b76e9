"""Tests of the ASGI application: which dialect answers, and what is measured."""

from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from vault.edge.asgi import ALWAYS_SERVED, MAX_SCRAPES, EdgeApp
from vault.edge.compat import CompatDialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.reply import Reply


class FakeDialect:
    """Answers with its own name, after some time."""

    def __init__(self, prefix: str, world: FakeWorld) -> None:
        self.prefix = prefix
        self.world = world

    async def handle(self, _scope: Any, _receive: Any) -> tuple[Reply, str]:
        """Half a second later."""
        self.world.advance(0.5)
        return Reply(200, self.prefix.encode()), f"{self.prefix}{{x}}"


class FakeMetrics:
    """Remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, float]] = []

    def observe_request(self, method: str, endpoint: str, seconds: float) -> None:
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
    edge = EdgeApp(dialects, metrics, world)  # type: ignore[arg-type]  # what it asks of them
    await edge({"raw_path": path, "method": "GET"}, receive, send)
    assert messages[1]["body"] == prefix.encode()
    assert metrics.seen == [("GET", f"{prefix}{{x}}", 0.5)]


async def test_those_that_came_together_are_answered_before_the_first_answer_is_sent() -> None:
    """So that each part of a request runs for all of them in a row (decision 14)."""
    world, diary = FakeWorld(), []

    class Noting(FakeDialect):
        async def handle(self, _scope: Any, _receive: Any) -> tuple[Reply, str]:
            diary.append("answered")
            return Reply(200), "x"

    async def send(_message: Any) -> None:
        diary.append("sent")

    edge = EdgeApp([Noting("/", world)], FakeMetrics(), world)  # type: ignore[arg-type, list-item]
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(edge, {"raw_path": b"/", "method": "GET"}, None, send)
    assert diary == 3 * ["answered"] + 6 * ["sent"]


async def test_what_was_done_is_told_even_to_somebody_who_is_cancelled() -> None:
    """A mutation ends whole; when its connection's time is up meanwhile, its answer still goes."""
    world, messages = FakeWorld(), []

    class Late(FakeDialect):
        async def handle(self, _scope: Any, _receive: Any) -> tuple[Reply, str]:
            scope.cancel()
            return Reply(200), "x"

    async def send(message: Any) -> None:
        messages.append(message["type"])

    edge = EdgeApp([Late("/", world)], FakeMetrics(), world)  # type: ignore[arg-type, list-item]
    with trio.CancelScope() as scope:
        await edge({"raw_path": b"/", "method": "PUT"}, None, send)  # type: ignore[arg-type]
    assert messages == ["http.response.start", "http.response.body"]


class Telling(FakeDialect):
    """Tells errors by their texts."""

    def failure_reply(self, error: Exception) -> Reply:
        """In its own words."""
        return Reply(500, f"{self.prefix} {error}".encode())


def test_a_failure_outside_is_told_by_the_dialect_of_the_path() -> None:
    """With all of its headers."""
    dialects: Any = [Telling(each, FakeWorld()) for each in ("/v1/", "/api/v1/", "/")]
    edge = EdgeApp(dialects, FakeMetrics(), FakeWorld())  # type: ignore[arg-type]  # what it asks of them
    for path, body in ((b"/api/v1/a", b"/api/v1/ x"), (b"/v1/a", b"/v1/ x"), (b"/a", b"/ x")):
        status, headers, told = edge.failure_response(path, ValueError("x"))
        assert (status, told) == (500, body)
        assert dict(headers)[b"content-type"] == b"application/json"


class Turning(FakeDialect):
    """Counts how often it makes its refusal."""

    made = 0

    def __init__(self, prefix: str, world: FakeWorld) -> None:
        super().__init__(prefix, world)
        self.name = prefix

    def overload_reply(self) -> Reply:
        """In its own words."""
        self.made += 1
        return Reply(503, self.prefix.encode(), headers=((b"retry-after", b"1"),))


def test_each_dialect_turns_away_in_its_own_words_but_nothing_urgent() -> None:
    """Made once a second; what operators need is let through, with a query or without."""
    world = FakeWorld()
    dialects: Any = [Turning(each, world) for each in ("/v1/", "/api/v1/", "/")]
    edge = EdgeApp(dialects, FakeMetrics(), world)  # type: ignore[arg-type]  # what it asks of them
    for path, prefix in ((b"/v1/a", b"/v1/"), (b"/api/v1/a?x=1", b"/api/v1/"), (b"/x", b"/")):
        answer = edge.overload_response(path)
        assert answer is not None
        assert answer[1] == prefix
        assert (b"retry-after", b"1") in answer[0]
        assert edge.overload_response(path) is answer
    world.advance(1)
    edge.overload_response(b"/v1/a")
    assert [dialect.made for dialect in dialects] == [2, 1, 1]
    assert edge.overload_response(b"/v1/sys/health?standbyok=true") is None
    assert edge.overload_response(b"/v1/sys/seal") is None
    assert edge.overload_response(b"/v1/sys/sealx") is not None


def test_in_an_overload_metrics_have_a_pace() -> None:
    """Anybody may ask for them: whoever monitors gets some, whoever floods gets 503."""
    world = FakeWorld()
    edge = EdgeApp([Turning("/", world)], FakeMetrics(), world)  # type: ignore[arg-type,list-item]  # what it asks of them
    for _ in range(2):
        answers = [edge.overload_response(b"/metrics") for _ in range(10 * MAX_SCRAPES)]
        assert answers.count(None) == MAX_SCRAPES
        assert edge.overload_response(b"/v1/sys/seal") is None
        world.advance(1)


def test_what_is_urgent_exists() -> None:
    """No path in the list is one that was renamed."""
    known = {
        (dialect.prefix + route.template).encode()
        for dialect in (CompatDialect, NativeDialect, OpsDialect)
        for route in dialect.router.routes()
    }
    assert known >= ALWAYS_SERVED


def test_what_the_server_refuses_is_not_cached_and_has_an_id() -> None:
    """As headers and body of an answer."""
    edge = EdgeApp([FakeDialect("/", FakeWorld())], FakeMetrics(), FakeWorld())  # type: ignore[arg-type,list-item]  # what it asks of them
    headers, body = edge.error_response(431, "header_too_large", "too large")
    sent = dict(headers)
    assert sent[b"content-type"] == b"application/json"
    assert sent[b"cache-control"] == b"no-store"
    assert b"x-request-id" in sent
    assert b"path" not in body
