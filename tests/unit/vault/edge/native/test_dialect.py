"""The native dialect: the design's typed errors, and nothing answered without a credential."""

import json
from typing import Any

import pytest

from vault.edge.native.dialect import NativeDialect
from vault.errors import (
    AuthenticationError,
    RateLimitError,
    UnavailableError,
)


async def test_errors_carry_what_http_asks_for(wire: Any) -> None:
    """`WWW-Authenticate`, `Allow` and `Retry-After`, each where it belongs."""
    wire.gate.answers["policy.list"] = AuthenticationError("unauthenticated", "permission denied")
    reply = await wire.ask("GET", "policies")
    assert (reply.status, dict(reply.headers)[b"www-authenticate"]) == (401, b"Bearer")
    reply = await wire.ask("POST", "policies")
    assert (reply.status, dict(reply.headers)[b"allow"]) == (405, b"GET")
    wire.gate.answers["policy.list"] = RateLimitError("rate_limited", "wait", retry_after=7)
    reply = await wire.ask("GET", "policies")
    assert (reply.status, dict(reply.headers)[b"retry-after"]) == (429, b"7")
    wire.gate.answers["policy.list"] = UnavailableError("sealed", "Vault is sealed")
    reply = await wire.ask("GET", "policies")
    assert reply.status == 503
    assert b"retry-after" in dict(reply.headers)
    wire.gate.answers["policy.list"] = UnavailableError("store_timeout", "?", outcome="unknown")
    reply = await wire.ask("GET", "policies")
    assert b"retry-after" not in dict(reply.headers)
    assert b'"outcome":"unknown"' in reply.body


async def test_an_unexpected_error_tells_nothing(wire: Any) -> None:
    """Our fault is `internal`, without the error's text."""
    wire.gate.answers["policy.list"] = KeyError("hunter2")
    reply = await wire.ask("GET", "policies")
    assert (reply.status, json.loads(reply.body)["code"]) == (500, "internal")
    assert b"hunter2" not in reply.body


@pytest.mark.parametrize(
    "route", [r for r in NativeDialect.router.routes() if not r.public], ids=lambda r: r.template
)
async def test_no_fault_is_told_without_a_credential(wire: Any, route: Any) -> None:
    """Whatever is wrong with a request, one without a credential learns only that."""
    wire.token = ""
    wire.gate.answers = _Unauthenticated()
    path = "/".join("x" if part.startswith("{") else part for part in route.template.split("/"))
    headers = {"Content-Type": "application/merge-patch+json"}
    for body in (b"", b"{}", b'{"nonsense":1}'):
        reply = await wire.ask(route.method, path, body, headers)
        assert reply.status == 401, body


class _Unauthenticated(dict[str, Any]):
    """The pipeline's answer to whatever comes without a credential."""

    def get(self, _name: str, _default: object = None) -> Exception:
        """Always the same."""
        return AuthenticationError("unauthenticated", "permission denied")
