"""Tests of tokens as things that operations act on."""

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import ROOT, SECOND, House
from vault.authn.tokens import IssuedToken, NewToken
from vault.errors import AuthorizationError, ValidationError
from vault.model.identity import Identity
from vault.model.payloads import AccessorSelector, RenewToken, TokenSelector

HOUR = 3600 * SECOND
CREATE, ORPHAN = "auth/token/create", "auth/token/create-orphan"


async def root(house: House) -> tuple[str, Identity]:
    """A root token and who holds it."""
    issued = await house.tokens.create_root()
    return issued.text, replace(ROOT, credential=issued.row.accessor)


async def make(
    house: House, path: str = CREATE, by: Identity | None = None, **new: object
) -> IssuedToken:
    """A token."""
    caller = (await root(house))[1] if by is None else by
    payload = NewToken(ttl=HOUR, **new)  # type: ignore[arg-type]  # its fields
    issued: IssuedToken = await house.do("token.create", path, payload, by=caller)
    return issued


async def test_three_ways_to_one_token(house: House) -> None:
    """By text, by accessor, by being its holder."""
    made = await make(house, policies=("p",))
    row = made.row
    assert (
        await house.do("token.lookup", "auth/token/lookup", TokenSelector(token=made.text))
    ).row.id == row.id
    found = await house.do(
        "token.lookup_accessor",
        "auth/token/lookup-accessor",
        AccessorSelector(accessor=row.accessor),
    )
    assert found.row.id == row.id
    holder = replace(ROOT, credential=row.accessor)
    assert (
        await house.do("token.lookup_self", "auth/token/lookup-self", by=holder)
    ).row.id == row.id
    accessors = await house.do("token.accessors", "auth/token/accessors")
    assert row.accessor in accessors


async def test_three_ways_to_renew(house: House) -> None:
    """Each counts from now."""
    made = await make(house)
    holder = replace(ROOT, credential=made.row.accessor)
    house.world.time += 60 * SECOND
    for name, payload in (
        ("renew", RenewToken(token=made.text, increment=HOUR)),
        ("renew_accessor", RenewToken(accessor=made.row.accessor, increment=HOUR)),
        ("renew_self", RenewToken(increment=HOUR)),
    ):
        issued = await house.do(f"token.{name}", "auth/token/x", payload, by=holder)
        assert issued.row.expires_at == house.world.time + HOUR
        assert issued.text == ""


async def test_three_ways_to_revoke(house: House) -> None:
    """After each the token is nothing any more."""
    for way in ("revoke", "revoke_accessor", "revoke_self"):
        made = await make(house)
        holder = replace(ROOT, credential=made.row.accessor)
        payload = (
            AccessorSelector(accessor=made.row.accessor)
            if "acc" in way
            else TokenSelector(token=made.text)
        )
        await house.do(f"token.{way}", "auth/token/x", payload, by=holder)
        with pytest.raises(AuthorizationError, match="bad_token"):
            await house.do("token.lookup", "auth/token/lookup", TokenSelector(token=made.text))


async def test_revoking_what_is_gone(house: House) -> None:
    """By text it is no error: the caller wants it gone; an accessor that leads nowhere is one."""
    assert await house.do("token.revoke", "auth/token/revoke", TokenSelector(token="s.no")) is None
    with pytest.raises(ValidationError):
        await house.do("token.revoke_accessor", "auth/token/x", AccessorSelector(accessor="no"))
    with pytest.raises(AuthorizationError):
        await house.do("token.revoke_orphan", "auth/token/x", TokenSelector(token="s.no"))


async def test_revoke_orphan_keeps_the_children(house: House) -> None:
    """They live on as orphans; after a plain revoke they do not."""
    for way, survives in (("revoke_orphan", True), ("revoke", False)):
        parent = await make(house, policies=("root",))
        child = await make(house, by=replace(ROOT, credential=parent.row.accessor))
        await house.do(f"token.{way}", "auth/token/x", TokenSelector(token=parent.text))
        assert (await house.tokens.find_by_text(child.text) is not None) == survives


async def test_sudo_is_asked_on_the_path(house: House) -> None:
    """Orphans, periods and chosen texts take sudo on `auth/token/create`, or its own path."""
    plain = await house.allow("plain", "auth/token/*", capabilities=("update",))
    strong = await house.allow("strong", CREATE, capabilities=("update", "sudo"))
    for who, allowed in ((plain, False), (strong, True)):
        parent = await make(house, policies=who.policies)
        caller = replace(who, credential=parent.row.accessor)
        for wanted in ({"no_parent": True}, {"period": HOUR}):
            if allowed:
                assert (await make(house, by=caller, **wanted)).text
            else:
                with pytest.raises(ValidationError, match="sudo_required"):
                    await make(house, by=caller, **wanted)


async def test_the_path_makes_the_orphan(house: House) -> None:
    """Whoever was authorized for `create-orphan` gets one, without sudo; elsewhere a child."""
    plain = await house.allow("plain", "auth/token/*", capabilities=("update",))
    parent = await make(house, policies=plain.policies)
    caller = replace(plain, credential=parent.row.accessor)
    assert (await make(house, ORPHAN, by=caller)).row.parent == ""
    assert (await make(house, CREATE, by=caller)).row.parent == parent.row.id


async def test_no_audit_view_holds_a_text(house: House) -> None:
    """Not of the request, not of the answer, minted or chosen."""
    canary = "s-canary-text"
    made = await make(house, id=canary)
    assert made.text == canary
    payloads = [NewToken(id=canary), TokenSelector(token=canary), RenewToken(token=canary)]
    for name, handler in house.handlers.items():
        if not name.startswith("token."):
            continue
        fitting = payloads[:1] if name == "token.create" else payloads[1:]
        assert name == "token.accessors" or handler.audit_request is not None
        if handler.audit_request is not None:
            for payload in fitting:
                assert canary.encode() not in msgspec.json.encode(handler.audit_request(payload))
        assert handler.audit_response is not None
        answer = [canary] if name == "token.accessors" else made
        assert canary.encode() not in msgspec.json.encode(handler.audit_response(answer))
