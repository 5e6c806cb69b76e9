"""The pages in front of the API, the feed beside it."""

from typing import Any

import pytest

from ui.web.files import File
from vault.edge.web import PAGE_PATH, with_web_interface

FILES = {PAGE_PATH: File("text/html; charset=utf-8", "no-store", b"<!doctype html>", b"")}


async def asked(kind: str, path: str, files: dict[str, File]) -> str:
    """Who answers: `page`, `api` or `live`."""
    seen: list[str] = []

    async def api(_scope: Any, _receive: Any, _send: Any) -> None:
        seen.append("api")

    async def live(_scope: Any, _receive: Any, _send: Any) -> None:
        seen.append("live")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append("page")

    async def receive() -> Any:
        raise AssertionError("nobody reads a body here")

    scope = {"type": kind, "path": path, "method": "GET", "headers": [(b"accept", b"text/html")]}
    await with_web_interface(api, live, files)(scope, receive, send)
    return seen[0]


@pytest.mark.parametrize(
    ("kind", "path", "who"),
    [
        ("http", "/", "page"),
        ("http", "/secrets/one", "page"),
        ("http", "/api/v1/secrets", "api"),
        ("http", "/v1/sys/health", "api"),
        ("http", "/metrics", "api"),
        ("http", "/health/ready", "api"),
        ("websocket", "/api/v1/live", "live"),
        ("websocket", "/", "live"),
    ],
)
async def test_each_is_answered_by_its_own(kind: str, path: str, who: str) -> None:
    """Programs never get a page, pages never an error in JSON."""
    assert await asked(kind, path, FILES) == who


async def test_without_a_build_programs_are_served(caplog: pytest.LogCaptureFixture) -> None:
    """And the log says why there is no page."""
    assert await asked("http", "/", {}) == "api"
    assert "not built" in caplog.text
