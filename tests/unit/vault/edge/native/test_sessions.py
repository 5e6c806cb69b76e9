"""`/api/v1/sessions`: one secret is in the cookie alone, the other is told once."""

import json
from typing import Any

import pytest

from vault.edge.browser_sessions import BrowserSessions
from vault.edge.native.dialect import NativeDialect
from vault.model.results import BrowserSession

SECOND = 10**9


def session(now: int) -> BrowserSession:
    """One that was just opened."""
    return BrowserSession(
        name="ada", policies=("p",), root=False, accessor="acc", created_at=now,
        expires_at=now + 60 * SECOND, ends_at=now + 600 * SECOND, idle=60 * SECOND,
        text="new-cookie:new-key",
    )  # fmt: skip


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web interface is on."""
    monkeypatch.setattr(NativeDialect, "browsers", BrowserSessions(tls=False))


@pytest.mark.usefixtures("on")
async def test_signing_in_and_out(wire: Any) -> None:
    """The cookie is set, told nowhere else, and taken back; the session key is in the answer."""
    wire.gate.answers["session.open"] = session(wire.world.now())
    reply = await wire.ask("POST", "sessions", headers={"Host": "127.0.0.1:8200"})
    headers = dict(reply.headers)
    assert reply.status == 201
    assert headers[b"set-cookie"].startswith(b"freehold-agent-8200=new-cookie; ")
    body = json.loads(reply.body)
    assert b"new-cookie" not in reply.body
    assert (body["session_key"], body["idle_seconds"], body["left_seconds"]) == ("new-key", 60, 60)
    wire.gate.answers["session.close"] = session(wire.world.now())
    reply = await wire.ask("DELETE", "sessions/current", headers={"Host": "127.0.0.1:8200"})
    assert reply.status == 204
    assert b"Max-Age=0" in dict(reply.headers)[b"set-cookie"]


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "sessions/current", "session.current"),
        ("POST", "sessions/current/renew", "session.renew"),
    ],
)
async def test_the_page_learns_how_long_it_lasts(
    wire: Any, method: str, path: str, name: str
) -> None:
    """And nothing of its secrets."""
    wire.gate.answers[name] = session(wire.world.now() - 10 * SECOND)
    body = json.loads((await wire.ask(method, path)).body)
    assert body["left_seconds"] == 50
    assert set(body) == {
        "name", "policies", "root", "accessor", "created_at", "expires_at", "ends_at",
        "idle_seconds", "left_seconds",
    }  # fmt: skip


async def test_without_a_web_interface_there_are_none(wire: Any) -> None:
    """Who has shown who he is learns that; nothing is opened."""
    reply = await wire.ask("POST", "sessions")
    assert (reply.status, json.loads(reply.body)["code"]) == (404, "web_off")
    assert wire.last.name == "session.current"
