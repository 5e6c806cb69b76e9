"""A session's cookie stands for the credential, from our own pages only."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.authn.browsing import csrf_of
from vault.edge.browsers import Browsers
from vault.edge.native.browsing import BrowsingNative
from vault.errors import AuthorizationError

HOST = (b"host", b"127.0.0.1:8200")
COOKIE = (b"cookie", b"freehold-agent-8200=s.session")
OURS = (b"origin", b"http://127.0.0.1:8200")
TOKEN = (b"x-csrf-token", csrf_of("s.session").encode())
BEARER = (b"authorization", b"Bearer s.token")


async def asked(wire: Any, method: str, *headers: tuple[bytes, bytes]) -> tuple[int, list[Any]]:
    """The status, and name and credential of each operation that was run."""
    wire.gate.answers["session.refuse"] = AuthorizationError("csrf", "not ours")
    wire.gate.answers["policy.list"] = []
    scope = {
        "method": method,
        "raw_path": b"/api/v1/policies" + (b"/p" if method == "DELETE" else b""),
        "query_string": b"",
        "headers": [HOST, *headers],
        "client": ("10.0.0.1", 1),
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    dialect = BrowsingNative(wire.gate, FakeWorld(), Browsers(tls=False))
    reply, _ = await dialect.answer(scope, receive)
    return reply.status, [(op.name, op.credential, str(op.path)) for op in wire.gate.asked]


async def test_our_page_is_served(wire: Any) -> None:
    """Reading takes the origin, changing the session's token beside it."""
    assert await asked(wire, "GET", COOKIE, OURS) == (
        200, [("policy.list", "s.session", "sys/policies/")],
    )  # fmt: skip
    wire.gate.asked.clear()
    assert await asked(wire, "DELETE", COOKIE, OURS, TOKEN) == (
        204, [("policy.delete", "s.session", "sys/policies/p")],
    )  # fmt: skip


@pytest.mark.parametrize("headers", [(), (OURS,), (TOKEN,), ((b"origin", b"http://x"), TOKEN)])
async def test_others_are_refused_for_the_session_on_record(
    wire: Any, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Under its name, at the path that was meant; what was meant does not happen."""
    assert await asked(wire, "DELETE", COOKIE, *headers) == (
        403, [("session.refuse", "s.session", "sys/policies/p")],
    )  # fmt: skip


async def test_a_credential_in_a_header_counts_first(wire: Any) -> None:
    """Programs may have cookies, whosever they are: nobody forges a header."""
    assert await asked(wire, "DELETE", COOKIE, BEARER) == (
        204, [("policy.delete", "s.token", "sys/policies/p")],
    )  # fmt: skip


async def test_others_cookies_are_no_credential(wire: Any) -> None:
    """As of the control plane on the same machine."""
    status, ran = await asked(wire, "GET", (b"cookie", b"freehold-session=x"), OURS)
    assert (status, ran) == (200, [("policy.list", None, "sys/policies/")])  # the pipeline refuses
