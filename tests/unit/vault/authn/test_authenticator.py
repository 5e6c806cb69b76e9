"""Authentication: one plain refusal, whatever the reason, and no wait when rows are cached."""

import statistics
import zlib
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from vault.authn import authenticator as module
from vault.authn.lockout import DURATION, FAILURES
from vault.authn.tokens import NewToken
from vault.errors import AuthenticationError
from vault.model.identity import Identity, Method
from vault.model.operation import Origin
from vault.store.tables import API_KEYS, TOKENS

HOUR = 3600 * 10**9
ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))


async def _refusal(desk: Any, text: str | None, ip: str = "10.0.0.1") -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        await desk.who(text, ip)
    return caught.value


def _other_secret(text: str) -> str:
    """The same id with another secret; for an API key the checksum made right."""
    swap = "a" if text[25] != "a" else "b"
    forged = text[:25] + swap + text[26:]
    if text.startswith("fh_"):
        body = forged[:-9]
        forged = f"{body}_{zlib.crc32(body.encode()):08x}"
    return forged


async def _everything_refused(desk: Any) -> dict[str, str | None]:
    _, root = await desk.root()
    token, _ = await desk.token(root, "app")
    expired, _ = await desk.token(root, "app", ttl=HOUR)
    revoked, _ = await desk.token(root, "app")
    await desk.tokens.revoke(await desk.tokens.lookup(revoked))
    spent = (await desk.tokens.create(root, NewToken(num_uses=1))).text
    await desk.who(spent)
    ann = await desk.users.create(ROOT, "ann", policies=["app"])
    bob = await desk.users.create(ROOT, "bob", policies=["app"])
    key, _ = await desk.key(ann.id)
    dead_key, dead = await desk.key(ann.id)
    await desk.keys.revoke(ROOT, dead.credential)
    old_key, _ = await desk.key(ann.id, expires_at=desk.world.time + HOUR)
    bob_key, _ = await desk.key(bob.id)
    await desk.users.update(ROOT, bob.id, status="disabled")
    desk.world.time += HOUR
    return {
        "none": None,
        "empty": "",
        "unknown text": "nonsense",
        "unknown token": desk.scheme.mint_token().text,
        "wrong token": _other_secret(token),
        "expired token": expired,
        "revoked token": revoked,
        "spent token": spent,
        "unknown key": desk.scheme.mint_api_key().text,
        "wrong key": _other_secret(key),
        "mistyped key": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "revoked key": dead_key,
        "expired key": old_key,
        "key of a disabled user": bob_key,
        "with a space": f" {token}",
        "too long": token + "x" * 5000,
        "not unicode": "\ud800",
        "wildcard": "*",
    }


async def test_one_refusal(desk: Any) -> None:
    """Unknown, wrong, expired, revoked, spent and disabled hear the very same, equally late."""
    cases = await _everything_refused(desk)
    desk.world.slept.clear()
    refusals = {name: await _refusal(desk, text) for name, text in cases.items()}
    told = {(e.code, e.message, tuple(e.details)) for e in refusals.values()}
    assert told == {("unauthenticated", "permission denied", ())}
    assert len(desk.world.slept) == len(cases)
    assert all(0 <= wait <= module.REFUSAL_DELAY for wait in desk.world.slept)


async def test_a_refusal_takes_its_time(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known and unknown credentials are refused after the same time, cached or not."""
    _, root = await desk.root()
    token, _ = await desk.token(root, "app")
    monkeypatch.setattr(desk.world, "sleep", trio.sleep)
    times: dict[str, list[float]] = {"wrong": [], "unknown": []}
    for _ in range(8):
        for name, text in (
            ("wrong", _other_secret(token)),
            ("unknown", desk.scheme.mint_token().text),
        ):
            started = trio.current_time()
            await _refusal(desk, text)
            times[name].append(trio.current_time() - started)
    assert min(times["wrong"] + times["unknown"]) >= module.REFUSAL_DELAY
    wrong, unknown = (statistics.median(times[name]) for name in ("wrong", "unknown"))
    assert abs(wrong - unknown) < module.REFUSAL_DELAY


async def test_api_key(desk: Any) -> None:
    """A key stands for its user: his policies, those of his roles, and `default`."""
    await desk.roles.put(ROOT, "dev", policies=["read", "write"])
    user = await desk.users.create(ROOT, "Ann", roles=["dev"], policies=["own"])
    _, who = await desk.key(user.id)
    assert (who.id, who.name, who.method) == (user.id, "Ann", Method.API_KEY)
    assert who.policies == ("default", "own", "read", "write")
    assert not who.permissions
    assert not who.mfa


async def test_role_and_user_changes_count_at_once(desk: Any) -> None:
    """The next request sees the new role, and no request sees a disabled user."""
    await desk.roles.put(ROOT, "dev", policies=["read"])
    user = await desk.users.create(ROOT, "ann", roles=["dev"])
    key, _ = await desk.key(user.id)
    await desk.roles.put(ROOT, "dev", policies=["write"])
    assert (await desk.who(key)).policies == ("default", "write")
    await desk.roles.delete(ROOT, "dev")
    assert (await desk.who(key)).policies == ("default",)
    await desk.users.update(ROOT, user.id, status="disabled")
    await _refusal(desk, key)
    await desk.users.update(ROOT, user.id, status="active")
    assert await desk.who(key)


async def test_key_expiry_is_exact(desk: Any) -> None:
    """A key counts until the instant of its expiry, not in it."""
    user = await desk.users.create(ROOT, "ann")
    key, _ = await desk.key(user.id, expires_at=desk.world.time + HOUR)
    desk.world.time += HOUR - 1
    assert await desk.who(key)
    desk.world.time += 1
    await _refusal(desk, key)


async def test_warm_path_does_not_wait(desk: Any) -> None:
    """With its rows in the cache a credential is recognised without a single checkpoint."""
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    key, who = await desk.key(user.id)
    token, _ = await desk.token(who)
    for text in (key, token):
        await desk.who(text)
        with trio.CancelScope() as scope:
            scope.cancel()  # any checkpoint would raise
            assert await desk.who(text)
        assert not scope.cancelled_caught


async def test_uses_are_counted(desk: Any) -> None:
    """A recognised credential is counted with its time, a refused one is not."""
    user = await desk.users.create(ROOT, "ann")
    key, who = await desk.key(user.id)
    desk.world.time += 5
    await desk.who(key)
    await _refusal(desk, _other_secret(key))
    used = await desk.usage.get(who.credential)
    assert (used.uses, used.last_used) == (2, desk.world.time)


async def test_lockout(desk: Any) -> None:
    """Five wrong secrets for one id from one address lock that pair, for 15 minutes, unseen."""
    _, root = await desk.root()
    token, _ = await desk.token(root, "app")
    for _ in range(FAILURES):
        await _refusal(desk, _other_secret(token))
    locked = await _refusal(desk, token)
    assert str(locked) == str(await _refusal(desk, None))
    assert await desk.who(token, "10.0.0.2")
    desk.world.time += DURATION
    assert await desk.who(token)


async def test_lockout_in_parallel(desk: Any) -> None:
    """Guesses at once are counted as guesses in a row: no more than five are looked at."""
    _, root = await desk.root()
    token, _ = await desk.token(root, "app")
    compared = 0
    honest = desk.scheme.matches

    def matches(located: Any, stored: bytes | None) -> bool:
        nonlocal compared
        compared += 1
        return bool(honest(located, stored))

    desk.scheme.matches = matches
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(_refusal, desk, _other_secret(token))
    assert compared == 100  # the same work, locked or not
    await _refusal(desk, token)


async def test_unknown_and_expired_do_not_lock(desk: Any) -> None:
    """A client that hammers with a stale token harms nobody, not even itself when enabled again."""
    user = await desk.users.create(ROOT, "ann")
    key, _ = await desk.key(user.id)
    await desk.users.update(ROOT, user.id, status="disabled")
    for _ in range(20):
        await _refusal(desk, key)
        await _refusal(desk, "nonsense")
    await desk.users.update(ROOT, user.id, status="active")
    assert await desk.who(key)
    assert len(desk.lockout) == 0


async def test_kinds_do_not_mix(desk: Any) -> None:
    """A key's row under a token's id, or the other way round, is not looked at."""
    user = await desk.users.create(ROOT, "ann")
    made = await desk.keys.create(ROOT, user.id, "key")
    row = await desk.store.get(API_KEYS, made.key.id)
    _, root = await desk.root()
    token = await desk.tokens.lookup_self(root)
    await desk.store.commit(
        lambda tx: tx.put(TOKENS, replace(token, id=row.id, accessor="x", secret_hash=row.key_hash))
    )
    assert (await desk.who(made.text)).id == user.id


async def test_too_long_is_not_looked_at(desk: Any) -> None:
    """A text beyond the bound is refused before it is hashed."""
    located: list[str] = []
    desk.scheme.locate = located.append
    await _refusal(desk, "x" * (module.MAX_CREDENTIAL_BYTES + 1))
    assert located == []


async def test_unregistered_kind(desk: Any) -> None:
    """A kind of credential for which there is no method is refused like any other."""
    lone = module.Authenticator(desk.scheme, {}, desk.usage, desk.world)
    text, _ = await desk.root()
    with pytest.raises(AuthenticationError, match="permission denied"):
        await lone.authenticate(text, module.Origin(ip="10.0.0.1"))


async def test_to_know_is_no_use(desk: Any) -> None:
    """Asked before a large body is decoded: nothing is spent, and no failure counted."""
    _, root = await desk.root()
    once = (await desk.tokens.create(root, NewToken(num_uses=1))).text
    for _ in range(3):
        assert await desk.authenticator.knows(once, Origin(ip="10.0.0.1"))
    for _ in range(FAILURES + 1):
        assert not await desk.authenticator.knows(_other_secret(once), Origin(ip="10.0.0.1"))
    await desk.who(once)
    assert not await desk.authenticator.knows(once, Origin(ip="10.0.0.1"))


async def test_what_is_refused_is_not_known(desk: Any) -> None:
    """By the same rule."""
    for text in (await _everything_refused(desk)).values():
        assert not await desk.authenticator.knows(text, Origin(ip="10.0.0.1"))
