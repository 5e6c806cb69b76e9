"""Tests of tokens."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.authn.tokens import IssuedToken, NewToken
from vault.errors import AuthorizationError
from vault.model.payloads import AccessorSelector, TokenSelector
from vault.model.records import TokenRow

HOUR = 3600 * 10**9
GONE = AuthorizationError("bad_token", "bad token")


def row(**changes: Any) -> TokenRow:
    """A token of an hour, made now."""
    fields = {
        "id": "t", "accessor": "acc", "secret_hash": b"", "parent": "p", "policies": ["default"],
        "created_at": NOW, "issued_at": NOW, "ttl": HOUR, "expires_at": NOW + HOUR,
    }  # fmt: skip
    return TokenRow(**(fields | changes))


async def test_create_with_nothing(wire: Wire) -> None:
    """The caller's policies, the default life; `lease` is the old name of `ttl`."""
    wire.gate.answers["token.create"] = IssuedToken(row=row(), text="s.new")
    await wire.ask("POST", "auth/token/create")
    assert wire.last.payload == NewToken()
    answer = await wire.ask("POST", "auth/token/create", {"lease": "1h"})
    assert wire.last.payload == NewToken(ttl=HOUR)
    assert answer.json["warnings"] is None


@pytest.mark.parametrize("body", [{"type": "batch"}, {"type": "x"}, {"entity_alias": "x"}])
async def test_what_tokens_are_not(wire: Wire, body: object) -> None:
    """Refused, not turned into something else."""
    assert (await wire.ask("POST", "auth/token/create", body)).status == 400
    assert wire.gate.asked == []


async def test_lookup_without_a_token_is_of_oneself(wire: Wire) -> None:
    """As OpenBao."""
    wire.gate.answers["token.lookup"] = row()
    for method in ("GET", "POST"):
        await wire.ask(method, "auth/token/lookup")
        assert wire.last.payload == TokenSelector(token="s.token")


async def test_lookup_by_accessor(wire: Wire) -> None:
    """The text is not told: an accessor must not become a token."""
    wire.gate.answers["token.lookup_accessor"] = row()
    answer = await wire.ask("POST", "auth/token/lookup-accessor", {"accessor": "acc"})
    assert (answer.json["data"]["id"], wire.last.payload) == ("", AccessorSelector(accessor="acc"))
    answer = await wire.ask("POST", "auth/token/lookup-accessor", {})
    assert answer.errors == ["1 error occurred:\n\t* missing accessor\n\n"]


async def test_renew_nothing(wire: Wire) -> None:
    """400, unlike a look-up; other refusals stay what they are."""
    wire.gate.answers["token.renew"] = GONE
    answer = await wire.ask("POST", "auth/token/renew", {"token": "x"})
    assert (answer.status, answer.errors) == (400, ["token not found"])
    assert (await wire.ask("POST", "auth/token/renew", {})).errors == ["missing token ID"]
    wire.gate.answers["token.renew"] = AuthorizationError("permission_denied", "no")
    assert (await wire.ask("POST", "auth/token/renew", {"token": "x"})).status == 403


async def test_revoke_without_the_right(wire: Wire) -> None:
    """403, not a pretended 204."""
    denied = AuthorizationError("permission_denied", "no")
    wire.gate.answers |= {"token.revoke": denied, "token.revoke_accessor": denied}
    assert (await wire.ask("POST", "auth/token/revoke", {"token": "x"})).status == 403
    answer = await wire.ask("POST", "auth/token/revoke-accessor", {"accessor": "x"})
    assert answer.status == 403
