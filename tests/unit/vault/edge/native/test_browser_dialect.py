"""A session stands for the credential, whole and from our own pages only."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.authz.policy_store import PolicyNames
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.dialect import MAX_UNKNOWN_BODY
from vault.edge.native.browser_dialect import BrowserNativeDialect
from vault.errors import AuthorizationError

HOST = (b"host", b"127.0.0.1:8200")
COOKIE = (b"cookie", b"freehold-agent-8200=cookie")
OURS = (b"origin", b"http://127.0.0.1:8200")
KEY = (b"x-session-key", b"key")
BEARER = (b"authorization", b"Bearer s.token")


async def asked(
    wire: Any, method: str, *headers: tuple[bytes, bytes], body: bytes = b""
) -> tuple[int, list[Any]]:
    """The status, and name and credential of each operation that was run."""
    wire.gate.answers["session.refuse"] = AuthorizationError("csrf", "not ours")
    wire.gate.answers["policy.list"] = PolicyNames([], [], [])
    scope = {
        "method": method,
        "raw_path": b"/api/v1/policies" + (b"/p" if method == "DELETE" else b""),
        "query_string": b"",
        "headers": [HOST, *headers],
        "client": ("10.0.0.1", 1),
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    dialect = BrowserNativeDialect(wire.gate, FakeWorld(), BrowserSessions(tls=False))
    reply, _ = await dialect.handle(scope, receive)
    return reply.status, [(op.name, op.credential, str(op.path)) for op in wire.gate.asked]


async def test_our_page_is_served(wire: Any) -> None:
    """Reading and changing alike."""
    assert await asked(wire, "GET", COOKIE, OURS, KEY) == (
        200, [("policy.list", "cookie:key", "sys/policies/")],
    )  # fmt: skip
    wire.gate.asked.clear()
    assert await asked(wire, "DELETE", COOKIE, OURS, KEY) == (
        204, [("policy.delete", "cookie:key", "sys/policies/p")],
    )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("headers", [(KEY,), ((b"origin", b"http://x"), KEY)])
async def test_others_are_refused_for_the_session_on_record(
    wire: Any, method: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Under its name, at the path that was meant; what was meant does not happen."""
    status, ran = await asked(wire, method, COOKIE, *headers)
    assert status == 403
    assert [(name, credential) for name, credential, _ in ran] == [("session.refuse", "cookie:key")]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("headers", [(), (OURS,), ((b"origin", b"http://x"),)])
async def test_a_cookie_alone_is_no_credential(
    wire: Any, method: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Another port of the host reads it: the pipeline refuses it, on record as such an attempt."""
    _, ran = await asked(wire, method, COOKIE, *headers)
    assert [(name, credential) for name, credential, _ in ran] == [("session.refuse", None)]


async def test_a_credential_in_a_header_counts_first(wire: Any) -> None:
    """Programs may have cookies, whosever they are: nobody forges a header."""
    assert await asked(wire, "DELETE", COOKIE, BEARER) == (
        204, [("policy.delete", "s.token", "sys/policies/p")],
    )  # fmt: skip


async def test_others_cookies_are_no_credential(wire: Any) -> None:
    """As of the control plane on the same machine."""
    status, ran = await asked(wire, "GET", (b"cookie", b"freehold-session=x"), OURS)
    assert (status, ran) == (200, [("policy.list", None, "sys/policies/")])  # the pipeline refuses


@pytest.mark.parametrize("headers", [(COOKIE, OURS, KEY), (BEARER,)])
async def test_a_large_body_of_a_session_is_asked_about_as_a_browsers(
    wire: Any, headers: tuple[tuple[bytes, bytes], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session counts in a cookie alone, any other credential never does."""
    known: list[tuple[str | None, bool]] = []

    async def knows(credential: str | None, origin: Any) -> bool:
        known.append((credential, origin.browser))
        return True

    monkeypatch.setattr(wire.gate, "knows", knows)
    await asked(wire, "GET", *headers, body=b" " * MAX_UNKNOWN_BODY + b"{}")
    assert known == [("cookie:key", True) if COOKIE in headers else ("s.token", False)]
