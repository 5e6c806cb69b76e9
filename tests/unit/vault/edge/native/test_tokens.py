"""`/api/v1/tokens`: the text is shown once, and an absent token is 404 whoever words it."""

import json
from typing import Any

import pytest

from protocols.instant import SECOND
from vault.authn.tokens import IssuedToken
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.payloads import AccessorSelector, RenewToken, TokenSelector
from vault.model.records import TokenRow

ROW = TokenRow(
    id="i", accessor="a1", secret_hash=b"hash", policies=["app"], created_at=10**18,
    issued_at=10**18, ttl=60 * SECOND, expires_at=10**18 + 60 * SECOND,
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "asked", "payload"),
    [
        ("GET", "tokens/self", None, "lookup_self", None),
        ("POST", "tokens/self/renew", {"increment": "10s"}, "renew_self",
         RenewToken(increment=10 * SECOND)),
        ("DELETE", "tokens/self", None, "revoke_self", None),
        ("POST", "tokens/lookup", {"token": "s.x"}, "lookup", TokenSelector(token="s.x")),
        ("POST", "tokens/revoke", {"token": "s.x"}, "revoke", TokenSelector(token="s.x")),
        ("POST", "tokens/revoke", {"token": "s.x", "keep_children": True}, "revoke_orphan",
         TokenSelector(token="s.x")),
        ("GET", "tokens/a1", None, "lookup_accessor", AccessorSelector(accessor="a1")),
        ("POST", "tokens/a1/renew", {}, "renew_accessor", RenewToken(accessor="a1")),
        ("DELETE", "tokens/a1", None, "revoke_accessor", AccessorSelector(accessor="a1")),
    ],
)  # fmt: skip
async def test_each_verb_asks_for_its_operation(
    wire: Any, method: str, path: str, body: object, asked: str, payload: object
) -> None:
    """Name, path and parameters of the operation are those of the verb."""
    answer = IssuedToken(row=ROW) if asked.startswith(("renew", "lookup")) else ROW
    wire.gate.answers[f"token.{asked}"] = answer
    reply = await wire.ask(method, path, b"" if body is None else body)
    assert reply.status in {200, 204}
    assert wire.asked == (f"token.{asked}", f"auth/token/{asked.replace('_', '-')}")
    if payload is not None:
        assert wire.last.payload == payload
    assert b'"token":' not in reply.body


async def test_an_absent_token_is_404(wire: Any) -> None:
    """The words that other clients need are told as what they mean; other errors stay."""
    for error in (
        AuthorizationError("bad_token", "bad token"),
        ValidationError("invalid_accessor", "invalid accessor"),
        NotFoundError("token_not_found", "no"),
    ):
        wire.gate.answers["token.lookup_accessor"] = error
        reply = await wire.ask("GET", "tokens/a1")
        assert (reply.status, json.loads(reply.body)["code"]) == (404, "token_not_found")
    wire.gate.answers["token.lookup_accessor"] = AuthorizationError("permission_denied", "no")
    assert (await wire.ask("GET", "tokens/a1")).status == 403
