"""Tests of tokens."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.authn.tokens import IssuedToken, NewToken
from vault.errors import AuthorizationError
from vault.model.payloads import AccessorSelector, Nothing, RenewToken, TokenSelector
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


async def test_create(wire: Wire) -> None:
    """All fields, in the loose forms that clients send."""
    wire.gate.answers["token.create"] = IssuedToken(row=row(meta={"a": "1"}), text="s.new")
    body = {
        "policies": ["a"], "ttl": "1h", "explicit_max_ttl": "2h", "period": 60, "num_uses": "3",
        "renewable": False, "display_name": "d", "meta": {"a": 1}, "no_parent": True,
        "no_default_policy": "true", "id": "chosen", "type": "service", "entity_alias": "",
    }  # fmt: skip
    answer = await wire.ask("POST", "auth/token/create", body)
    assert wire.last.path == "auth/token/create"
    assert wire.last.payload == NewToken(
        policies=("a",), ttl=HOUR, explicit_max_ttl=2 * HOUR, period=60 * 10**9, num_uses=3,
        renewable=False, display_name="d", meta={"a": "1"}, no_parent=True, no_default_policy=True,
        id="chosen", type="service", path="auth/token/create",
    )  # fmt: skip
    assert answer.json["data"] is None
    assert answer.json["warnings"] is None
    assert answer.json["auth"] == {
        "client_token": "s.new", "accessor": "acc", "policies": ["default"],
        "token_policies": ["default"], "metadata": {"a": "1"}, "lease_duration": 3600,
        "renewable": True, "entity_id": "", "token_type": "service", "orphan": False,
        "mfa_requirement": None, "num_uses": 0,
    }  # fmt: skip


async def test_create_with_nothing(wire: Wire) -> None:
    """The caller's policies, the default life; `lease` is the old name of `ttl`."""
    wire.gate.answers["token.create"] = IssuedToken(row=row(), text="s.new")
    await wire.ask("POST", "auth/token/create")
    assert wire.last.payload == NewToken()
    answer = await wire.ask("POST", "auth/token/create", {"lease": "1h"})
    assert wire.last.payload == NewToken(ttl=HOUR)
    assert answer.json["warnings"] is None


@pytest.mark.parametrize(
    "body", [{"type": "default-service"}, {"type": "x"}, {"entity_alias": "x"}]
)
async def test_what_tokens_are_not(wire: Wire, body: object) -> None:
    """Refused, not turned into something else."""
    assert (await wire.ask("POST", "auth/token/create", body)).status == 400
    assert wire.gate.asked == []


async def test_lookup_without_a_token_is_of_oneself(wire: Wire) -> None:
    """As OpenBao."""
    wire.gate.answers["token.lookup"] = IssuedToken(row=row())
    for method in ("GET", "POST"):
        await wire.ask(method, "auth/token/lookup")
        assert wire.last.payload == TokenSelector(token="s.token")


async def test_lookup_by_accessor(wire: Wire) -> None:
    """The text is not told: an accessor must not become a token."""
    wire.gate.answers["token.lookup_accessor"] = IssuedToken(row=row())
    answer = await wire.ask("POST", "auth/token/lookup-accessor", {"accessor": "acc"})
    assert (answer.json["data"]["id"], wire.last.payload) == ("", AccessorSelector(accessor="acc"))
    answer = await wire.ask("POST", "auth/token/lookup-accessor", {})
    assert answer.errors == ["1 error occurred:\n\t* missing accessor\n\n"]


@pytest.mark.parametrize(
    ("route", "body", "payload", "text"),
    [
        ("renew-self", {}, RenewToken(), "s.token"),
        ("renew-self", {"increment": "1h"}, RenewToken(increment=HOUR), "s.token"),
        ("renew", {"token": "s.x", "increment": 0}, RenewToken(token="s.x"), "s.x"),
        ("renew-accessor", {"accessor": "a"}, RenewToken(accessor="a"), ""),
    ],
)
async def test_renew(wire: Wire, route: str, body: object, payload: RenewToken, text: str) -> None:
    """For how long is told in `auth`; the text only to who has it."""
    renewed = row(issued_at=NOW + HOUR, expires_at=NOW + 3 * HOUR)
    wire.gate.answers[f"token.{route.replace('-', '_')}"] = IssuedToken(row=renewed)
    answer = await wire.ask("PUT", f"auth/token/{route}", body)
    assert (wire.last.path, wire.last.payload) == (f"auth/token/{route}", payload)
    auth = answer.json["auth"]
    assert (auth["client_token"], auth["lease_duration"]) == (text, 7200)


async def test_renew_nothing(wire: Wire) -> None:
    """400, unlike a look-up; other refusals stay what they are."""
    wire.gate.answers["token.renew"] = GONE
    answer = await wire.ask("POST", "auth/token/renew", {"token": "x"})
    assert (answer.status, answer.errors) == (400, ["token not found"])
    assert (await wire.ask("POST", "auth/token/renew", {})).errors == ["missing token ID"]
    wire.gate.answers["token.renew"] = AuthorizationError("permission_denied", "no")
    assert (await wire.ask("POST", "auth/token/renew", {"token": "x"})).status == 403


@pytest.mark.parametrize(
    ("route", "body", "payload"),
    [
        ("revoke", {"token": "x"}, TokenSelector(token="x")),
        ("revoke-self", {}, Nothing()),
        ("revoke-accessor", {"accessor": "a"}, AccessorSelector(accessor="a")),
        ("revoke-orphan", {"token": "x"}, TokenSelector(token="x")),
    ],
)
async def test_revoke(wire: Wire, route: str, body: object, payload: object) -> None:
    """204."""
    wire.gate.answers[f"token.{route.replace('-', '_')}"] = row()
    assert (await wire.ask("PUT", f"auth/token/{route}", body)).status == 204
    assert (wire.last.path, wire.last.payload) == (f"auth/token/{route}", payload)


async def test_revoke_without_the_right(wire: Wire) -> None:
    """403, not a pretended 204."""
    denied = AuthorizationError("permission_denied", "no")
    wire.gate.answers |= {"token.revoke": denied, "token.revoke_accessor": denied}
    assert (await wire.ask("POST", "auth/token/revoke", {"token": "x"})).status == 403
    answer = await wire.ask("POST", "auth/token/revoke-accessor", {"accessor": "x"})
    assert answer.status == 403
