"""Tests of tokens."""

from typing import Any

import pytest

from tests.unit.vault.edge.compat.conftest import NOW, Wire
from vault.authn.tokens import IssuedToken, NewToken
from vault.errors import AuthorizationError, ValidationError
from vault.model.payloads import AccessorSelector, NoParameters, RenewToken, TokenSelector
from vault.model.records import TokenRow

HOUR = 3600 * 10**9
GONE = AuthorizationError("bad_token", "bad token")
NO_ACCESSOR = ValidationError("invalid_accessor", "invalid accessor")


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
        id="chosen", path="auth/token/create",
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


async def test_create_with_remarks(wire: Wire) -> None:
    """What was cut, and what was not understood."""
    wire.gate.answers["token.create"] = IssuedToken(row=row(), text="s.new", warnings=("cut",))
    answer = await wire.ask("POST", "auth/token/create", {"foo": 1})
    assert answer.json["warnings"] == [
        "cut", "Endpoint ignored these unrecognized parameters: [foo]",
    ]  # fmt: skip


async def test_create_an_orphan(wire: Wire) -> None:
    """By the path that has a right of its own."""
    wire.gate.answers["token.create"] = IssuedToken(row=row(parent=""), text="s.new")
    answer = await wire.ask("POST", "auth/token/create-orphan", {})
    assert (wire.last.path, answer.json["auth"]["orphan"]) == ("auth/token/create-orphan", True)
    assert wire.last.payload == NewToken(path="auth/token/create-orphan")


@pytest.mark.parametrize("body", [{"type": "batch"}, {"type": "x"}, {"entity_alias": "x"}])
async def test_what_tokens_are_not(wire: Wire, body: object) -> None:
    """Refused, not turned into something else."""
    assert (await wire.ask("POST", "auth/token/create", body)).status == 400
    assert wire.gate.asked == []


async def test_no_roles_yet(wire: Wire) -> None:
    """Each is unknown."""
    assert (await wire.ask("POST", "auth/token/create/r", {})).errors == ["unknown role r"]


async def test_lookup_self(wire: Wire) -> None:
    """All that External Secrets Operator and Terraform read: type, ttl, expire_time."""
    wire.gate.answers["token.lookup_self"] = row(uses_left=2, num_uses=3)
    wire.world.advance(60)
    answer = await wire.ask("GET", "auth/token/lookup-self")
    assert (wire.last.path, wire.last.payload) == ("auth/token/lookup-self", NoParameters())
    assert answer.json["data"] == {
        "accessor": "acc", "creation_time": 1_800_000_000, "creation_ttl": 3600,
        "display_name": "token", "entity_id": "", "expire_time": "2027-01-15T09:00:00Z",
        "explicit_max_ttl": 0, "id": "s.token", "issue_time": "2027-01-15T08:00:00Z", "meta": None,
        "num_uses": 2, "orphan": False, "path": "auth/token/create", "policies": ["default"],
        "renewable": True, "ttl": 3540, "type": "service",
    }  # fmt: skip


async def test_lookup_of_other_kinds(wire: Wire) -> None:
    """What only some tokens have."""
    wire.gate.answers["token.lookup"] = row(period=HOUR, issued_at=NOW + 10**9, num_uses=1)
    data = (await wire.ask("POST", "auth/token/lookup", {"token": "s.x"})).json["data"]
    assert (data["id"], data["period"], data["num_uses"]) == ("s.x", 3600, -1)
    assert (data["last_renewal"], data["last_renewal_time"]) == (
        "2027-01-15T08:00:01Z", 1_800_000_001,
    )  # fmt: skip
    wire.gate.answers["token.lookup"] = row(path="auth/token/root", expires_at=0, ttl=0)
    data = (await wire.ask("POST", "auth/token/lookup", {"token": "s.x"})).json["data"]
    assert (data["expire_time"], data["ttl"]) == (None, 0)
    assert "issue_time" not in data


async def test_lookup_without_a_token_is_of_oneself(wire: Wire) -> None:
    """As OpenBao."""
    wire.gate.answers["token.lookup"] = row()
    for method in ("GET", "POST"):
        await wire.ask(method, "auth/token/lookup")
        assert wire.last.payload == TokenSelector(token="s.token")


async def test_lookup_of_nothing(wire: Wire) -> None:
    """403 by text, 400 by accessor."""
    wire.gate.answers["token.lookup"] = GONE
    answer = await wire.ask("POST", "auth/token/lookup", {"token": "x"})
    assert (answer.status, answer.errors) == (403, ["bad token"])
    wire.gate.answers["token.lookup_accessor"] = NO_ACCESSOR
    answer = await wire.ask("POST", "auth/token/lookup-accessor", {"accessor": "x"})
    assert (answer.status, answer.errors) == (
        400, ["1 error occurred:\n\t* invalid accessor\n\n"],
    )  # fmt: skip


async def test_lookup_by_accessor(wire: Wire) -> None:
    """The text is not told: an accessor must not become a token."""
    wire.gate.answers["token.lookup_accessor"] = row()
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
        ("revoke-self", {}, NoParameters()),
        ("revoke-accessor", {"accessor": "a"}, AccessorSelector(accessor="a")),
        ("revoke-orphan", {"token": "x"}, TokenSelector(token="x")),
    ],
)
async def test_revoke(wire: Wire, route: str, body: object, payload: object) -> None:
    """204."""
    wire.gate.answers[f"token.{route.replace('-', '_')}"] = row()
    assert (await wire.ask("PUT", f"auth/token/{route}", body)).status == 204
    assert (wire.last.path, wire.last.payload) == (f"auth/token/{route}", payload)


async def test_revoke_nothing(wire: Wire) -> None:
    """Gone is gone; only who wanted its children to stay must know."""
    wire.gate.answers |= {"token.revoke": GONE, "token.revoke_orphan": GONE}
    wire.gate.answers["token.revoke_accessor"] = NO_ACCESSOR
    assert (await wire.ask("POST", "auth/token/revoke", {"token": "x"})).status == 204
    answer = await wire.ask("POST", "auth/token/revoke-accessor", {"accessor": "x"})
    assert answer.json["warnings"] == ["No token found with this accessor"]
    answer = await wire.ask("POST", "auth/token/revoke-orphan", {"token": "x"})
    assert (answer.status, answer.errors) == (400, ["token to revoke not found"])


async def test_revoke_without_the_right(wire: Wire) -> None:
    """403, not a pretended 204."""
    denied = AuthorizationError("permission_denied", "no")
    wire.gate.answers |= {"token.revoke": denied, "token.revoke_accessor": denied}
    assert (await wire.ask("POST", "auth/token/revoke", {"token": "x"})).status == 403
    answer = await wire.ask("POST", "auth/token/revoke-accessor", {"accessor": "x"})
    assert answer.status == 403


@pytest.mark.parametrize("path", ["auth/token/accessors", "auth/token/accessors/"])
async def test_accessors(wire: Wire, path: str) -> None:
    """A list."""
    wire.gate.answers["token.accessors"] = ["a", "b"]
    assert (await wire.ask("LIST", path)).json["data"] == {"keys": ["a", "b"]}
    assert (await wire.ask("GET", path)).status == 405
