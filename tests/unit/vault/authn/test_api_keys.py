"""API keys: the text once, the hash never, the end at once."""

from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from protocols.instant import MAX_NS
from vault.authn import api_keys as module
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)
from vault.model.identity import Identity, Method, Permission
from vault.model.records import BATCH_ACCESSOR, TokenRow
from vault.store.tables import API_KEYS, TOKENS

ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))
ADM = Identity(id="a", name="adm", method=Method.TOKEN, policies=("adm", "default"))
READ = Permission(capabilities=("read",), paths=("secret/*",))


async def test_life(desk: Any) -> None:
    """A key is made, used, listed with its last use and without its hash, and revoked."""
    user = await desk.users.create(ROOT, "ann")
    made = await desk.keys.create(
        ROOT, user.id, "ci", permissions=[READ], expires_at=desk.world.time + 9
    )
    assert made.text.startswith("fh_")
    assert made.text not in repr(made)
    row = await desk.store.get(API_KEYS, made.key.id)
    assert row.key_hash
    assert row.key_hash not in repr(made.key).encode()
    assert not hasattr(made.key, "key_hash")
    who = await desk.who(made.text)
    assert who.permissions == (READ,)
    shown = await desk.keys.get(made.key.id)
    assert (shown.uses, shown.last_used, shown.created_by) == (1, desk.world.time, "root")
    assert await desk.keys.list_for_user(user.id) == [shown]
    await desk.keys.revoke(ROOT, made.key.id)
    await desk.keys.revoke(ROOT, made.key.id)
    assert (await desk.keys.get(made.key.id)).status == "revoked"
    with pytest.raises(AuthenticationError):
        await desk.who(made.text)


async def test_unknown(desk: Any) -> None:
    """An id that is nobody's is not found, for whatever is asked of it."""
    for asked in (
        desk.keys.get("x"),
        desk.keys.revoke(ROOT, "x"),
        desk.keys.create(ROOT, "x", "key"),
    ):
        with pytest.raises(NotFoundError):
            await asked


async def test_refused(desk: Any) -> None:
    """Names and expiries that mean nothing are refused with their field."""
    user = await desk.users.create(ROOT, "ann")
    now = desk.world.time
    for name, expires_at, field in (
        ("", 0, "name"),
        ("x" * 129, 0, "name"),
        ("a\nb", 0, "name"),
        (" a", 0, "name"),
        ("k", now, "expires_at"),
        ("k", -1, "expires_at"),
        ("k", MAX_NS + 1, "expires_at"),
    ):
        with pytest.raises(ValidationError) as caught:
            await desk.keys.create(ROOT, user.id, name, expires_at=expires_at)
        assert caught.value.details["field"] == field
    await desk.users.update(ROOT, user.id, status="disabled")
    with pytest.raises(ConflictError):
        await desk.keys.create(ROOT, user.id, "k")


async def test_privilege(desk: Any) -> None:
    """Nobody makes or ends a key of someone more privileged; everybody may end his own."""
    boss = await desk.users.create(ROOT, "boss", policies=["root"])
    mate = await desk.users.create(ROOT, "mate", policies=["adm"])
    _, boss_key = await desk.key(boss.id)
    with pytest.raises(AuthorizationError):
        await desk.keys.create(ADM, boss.id, "backdoor")
    with pytest.raises(AuthorizationError):
        await desk.keys.revoke(ADM, boss_key.credential)
    _, mate_key = await desk.key(mate.id, by=ADM)
    _, cut = await desk.key(mate.id, by=ADM, permissions=[READ])
    with pytest.raises(AuthorizationError):
        await desk.keys.create(cut, mate.id, "wider")
    assert await desk.keys.create(cut, mate.id, "same", permissions=[READ])
    with pytest.raises(AuthorizationError):
        await desk.keys.revoke(cut, mate_key.credential)
    await desk.keys.revoke(cut, cut.credential)
    await desk.keys.revoke(mate_key, mate_key.credential)
    await desk.keys.revoke(boss_key, boss_key.credential)


async def test_revocation_cuts_streams(desk: Any) -> None:
    """The streams of a key and of the tokens it made end with it."""
    user = await desk.users.create(ROOT, "ann")
    _, key = await desk.key(user.id)
    _, who = await desk.token(key)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.stream, key.credential)
        nursery.start_soon(desk.stream, who.credential)
        await trio.testing.wait_all_tasks_blocked()
        await desk.keys.revoke(ROOT, key.credential)


async def test_bounds(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user has a bounded number of keys, and of revoked ones that are still shown."""
    monkeypatch.setattr(module, "MAX_KEYS", 3)
    monkeypatch.setattr(module, "MAX_REVOKED", 2)
    user = await desk.users.create(ROOT, "ann")
    for _ in range(3):
        _, key = await desk.key(user.id)
    with pytest.raises(ConflictError, match="at most 3"):
        await desk.key(user.id)
    for _ in range(6):
        await desk.keys.revoke(ROOT, key.credential)
        _, key = await desk.key(user.id)
        desk.world.time += 1
    statuses = [key.status for key in await desk.keys.list_for_user(user.id)]
    assert (statuses.count("active"), statuses.count("revoked")) == (3, 2)


@pytest.mark.parametrize(
    "bound", [{"bound_cidrs": ["10.0.0.0/8"]}, {"certificate": "ab"}, {"num_uses": 3}, {}]
)
async def test_a_bound_token_makes_no_key_of_its_own_user(desk: Any, bound: dict[str, Any]) -> None:
    """It would count from everywhere, as often as one likes; one for others is a right apart."""
    ann, bob = await desk.users.create(ROOT, "ann"), await desk.users.create(ROOT, "bob")
    row = TokenRow(
        id="t", accessor="acc", secret_hash=b"", user_id=ann.id, created_at=1, issued_at=1, **bound
    )
    await desk.store.commit(lambda tx: tx.put(TOKENS, row))
    caller = Identity(id=ann.id, name="ann", method=Method.TOKEN, credential="acc")
    batch = replace(caller, credential=f"{BATCH_ACCESSOR}x")
    for who in (caller, batch) if bound else (batch,):
        with pytest.raises(AuthorizationError) as caught:
            await desk.keys.create(who, ann.id, "mine")
        assert caught.value.code == "credential_bound"
    if not bound:
        await desk.keys.create(caller, ann.id, "mine")
    await desk.keys.create(caller, bob.id, "theirs")


async def test_what_comes_with_a_request_makes_no_key(desk: Any) -> None:
    """A login in its headers is over when the request is; a key is not."""
    ann = await desk.users.create(ROOT, "ann")
    caller = Identity(id=ann.id, name="ann", method=Method.USERPASS)
    for bad in (desk.keys.create(caller, ann.id, "k"), desk.users.create(caller, "eve")):
        with pytest.raises(AuthorizationError) as caught:
            await bad
        assert caught.value.code == "more_privileged"
