"""Tokens: what may be handed out, how long it lives, and what ends it. Words are OpenBao's."""

from contextlib import suppress
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from vault.authn import tokens as module
from vault.authn.tokens import IssuedToken, NewToken
from vault.errors import AuthenticationError, AuthorizationError, ValidationError
from vault.model.identity import Identity, Method, Permission
from vault.store.tables import TOKENS

HOUR = 3600 * 10**9
DAY32 = 768 * HOUR
ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))


async def _refused(desk: Any, text: str) -> None:
    with pytest.raises(AuthenticationError):
        await desk.who(text)


async def test_root(desk: Any) -> None:
    """The root token never expires, cannot be renewed, and its children are root unless cut."""
    text, root = await desk.root()
    assert (root.policies, root.name, root.method) == (("root",), "root", Method.TOKEN)
    row = await desk.tokens.lookup(text)
    assert (row.expires_at, row.ttl, row.parent, row.renewable) == (0, 0, "", False)
    with pytest.raises(ValidationError, match="lease is not renewable"):
        await desk.tokens.renew(row)
    child = await desk.tokens.create(root, NewToken())
    assert (child.row.policies, child.row.expires_at, child.row.parent) == (["root"], 0, row.id)


async def test_a_child(desk: Any) -> None:
    """A child has what was asked for, `default`, a clean display name, and 768 h."""
    _, root = await desk.root()
    made = await desk.tokens.create(
        root, NewToken(policies=("App ",), display_name="ci job!", meta={"a": "b"})
    )
    row = made.row
    assert (row.policies, row.display_name, row.meta) == (
        ["app", "default"],
        "token-ci-job",
        {"a": "b"},
    )
    assert (row.ttl, row.expires_at - desk.world.time, row.renewable) == (DAY32, DAY32, True)
    who = await desk.who(made.text)
    assert (who.id, who.credential, who.name) == (row.accessor, row.accessor, "token-ci-job")
    assert made.text not in repr(made)
    assert await desk.tokens.lookup(made.text) == row
    assert await desk.tokens.lookup_accessor(row.accessor) == row
    assert await desk.tokens.lookup_self(who) == row


@pytest.mark.parametrize(
    ("held", "wanted", "sudo", "got"),
    [
        (("app", "default"), None, False, ["app", "default"]),
        (("app", "default"), ("app",), False, ["app", "default"]),
        (("app", "ops"), ("ops",), False, ["default", "ops"]),
        (("app", "default"), ("ops",), False, "child policies must be subset of parent"),
        (("app", "default"), ("root",), False, "child policies must be subset of parent"),
        (("app", "default"), ("ops",), True, ["default", "ops"]),
        (("app", "default"), ("root",), True, "root tokens may not be created without"),
        (("app", "default"), ("ROOT",), True, "root tokens may not be created without"),
        (("app", "default"), (" root",), True, "root tokens may not be created without"),
        (("app", "default"), ("ro\u043et",), True, "policies must be"),
        (("app", "default"), ("app,root",), True, "policies must be"),
        (("root",), ("root", "app"), False, ["root"]),
        (("root",), ("anything",), False, ["anything", "default"]),
    ],
)
async def test_policies(
    desk: Any, held: tuple[str, ...], wanted: Any, sudo: bool, got: list[str] | str
) -> None:
    """A caller hands out his own; with sudo any but root; root alone hands out root."""
    parent = (await desk.tokens.create_root()).row
    caller = Identity(
        id="u", name="u", method=Method.TOKEN, policies=held, credential=parent.accessor
    )
    if isinstance(got, list):
        made = await desk.tokens.create(caller, NewToken(policies=wanted), sudo=sudo)
        assert made.row.policies == got
    else:
        with pytest.raises(ValidationError, match=got):
            await desk.tokens.create(caller, NewToken(policies=wanted), sudo=sudo)


@pytest.mark.parametrize("orphan", [False, True])
async def test_a_root_token_that_ends_makes_none_that_does_not(desk: Any, orphan: bool) -> None:
    """Root for an hour would else be root for good. What ends, and what is not root, it makes."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "root", ttl=HOUR)
    hourly = await desk.who(text)
    with pytest.raises(ValidationError, match="expiring root tokens cannot create non-expiring"):
        await desk.tokens.create(hourly, NewToken(no_parent=orphan))
    assert await desk.tokens.create(hourly, NewToken(ttl=DAY32, no_parent=orphan))
    assert await desk.tokens.create(hourly, NewToken(policies=("app",), no_parent=orphan))
    assert await desk.tokens.create(root, NewToken(no_parent=orphan))


async def test_no_default_policy(desk: Any) -> None:
    """`default` is left out when asked for, and never added to root."""
    _, root = await desk.root()
    for asked in (("a",), ("a", "default")):
        made = await desk.tokens.create(root, NewToken(policies=asked, no_default_policy=True))
        assert made.row.policies == ["a"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (NewToken(no_parent=True), "root or sudo privileges required to create orphan token"),
        (NewToken(period=HOUR), "root or sudo privileges required to create periodic token"),
        (NewToken(id="mine"), "root or sudo privileges required to specify token id"),
    ],
)
async def test_what_takes_sudo(desk: Any, new: NewToken, message: str) -> None:
    """Orphans, periods and chosen ids are for sudo and root."""
    _, root = await desk.root()
    _, app = await desk.token(root, "app")
    with pytest.raises(ValidationError, match=message):
        await desk.tokens.create(app, new)
    assert await desk.tokens.create(app, new, sudo=True)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (NewToken(ttl=-1), "ttl must be positive"),
        (NewToken(num_uses=-1), "number of uses cannot be negative"),
        (NewToken(id="s.mine"), "cannot have the 's.' prefix"),
        (NewToken(id="a.bcd"), "cannot have a '.' in the value"),
        (NewToken(id="abc"), "4 to 512"),
        (NewToken(id="has space"), "4 to 512"),
        (NewToken(meta={"k": "v" * 513}), "meta"),
        (NewToken(meta={str(i): "" for i in range(65)}), "meta"),
        (NewToken(display_name="x" * 257), "display_name"),
        (NewToken(policies=tuple(f"p{i}" for i in range(65))), "at most 64"),
    ],
)
async def test_bounds(desk: Any, new: NewToken, message: str) -> None:
    """Everything that is stored has a bound, and a refusal says which."""
    _, root = await desk.root()
    with pytest.raises(ValidationError, match=message):
        await desk.tokens.create(root, new)


async def test_chosen_id(desk: Any) -> None:
    """A chosen text authenticates, and nobody gets it a second time; a root one stays as it is."""
    root = (await desk.tokens.create_root("dev-root")).row
    assert (await desk.tokens.create_root("dev-root")).row == root
    who = await desk.who("dev-root")
    assert (await desk.token(who, "app", id="chosen"))[0] == "chosen"
    with pytest.raises(ValidationError, match="duplicate ID"):
        await desk.tokens.create(who, NewToken(id="chosen"))
    with pytest.raises(ValidationError, match="duplicate ID"):
        await desk.tokens.create_root("chosen")
    api_key = desk.scheme.mint_api_key().text
    with pytest.raises(ValidationError, match="API key"):
        await desk.tokens.create(who, NewToken(id=api_key))


@pytest.mark.parametrize("ttl", [1, HOUR, DAY32])
async def test_expiry_is_exact(desk: Any, ttl: int) -> None:
    """A token counts in the last nanosecond of its life and not in the next."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "app", ttl=ttl)
    desk.world.time += ttl - 1
    assert await desk.who(text)
    desk.world.time += 1
    await _refused(desk, text)
    desk.world.time += 10**9
    await _refused(desk, text)
    with pytest.raises(AuthorizationError, match="bad token"):
        await desk.tokens.lookup(text)


async def test_renewal(desk: Any) -> None:
    """A renewal counts from now, for the ttl or the increment, and the end moves with it."""
    _, root = await desk.root()
    text, who = await desk.token(root, "app", ttl=HOUR)
    desk.world.time += HOUR // 2
    row = await desk.tokens.lookup_self(who)
    renewed = await desk.tokens.renew(row)
    assert renewed.row.expires_at == desk.world.time + HOUR
    assert renewed.row.issued_at == desk.world.time
    assert renewed.text == ""
    assert (await desk.tokens.renew(row, 2 * HOUR)).row.expires_at == desk.world.time + 2 * HOUR
    capped = await desk.tokens.renew(row, 9999 * HOUR)
    assert capped.row.expires_at == row.created_at + DAY32
    assert 'TTL of "9999h" exceeded the effective max_ttl' in capped.warnings[0]
    desk.world.time += DAY32
    with pytest.raises(ValidationError, match="token not found"):
        await desk.tokens.renew(row)
    await _refused(desk, text)


async def test_limited_uses(desk: Any) -> None:
    """A token of two uses counts twice, cannot have children, and is gone afterwards."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(policies=("app",), num_uses=2))
    who = await desk.who(made.text)
    with pytest.raises(ValidationError, match="restricted use token cannot generate child"):
        await desk.tokens.create(who, NewToken())
    who = await desk.who(made.text)
    assert (await desk.tokens.lookup_self(who)).uses_left == 0
    await _refused(desk, made.text)
    with pytest.raises(AuthorizationError):
        await desk.tokens.lookup(made.text)
    with pytest.raises(ValidationError, match="token not found"):
        await desk.tokens.renew(made.row)


async def test_hundred_parallel_uses(desk: Any) -> None:
    """Of a hundred parallel uses of a token for one use, one counts."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(policies=("app",), num_uses=1))
    counted: list[Identity] = []

    async def use() -> None:
        with suppress(AuthenticationError):
            counted.append(await desk.who(made.text))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(use)
    assert len(counted) == 1


async def test_spent_root_is_swept(desk: Any) -> None:
    """The last use of a token that never expires gives it an end, so it does not stay for ever."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(num_uses=1))
    assert made.row.expires_at == 0
    await desk.who(made.text)
    assert await desk.revoker.revoke_expired(desk.clock) == 1


async def test_revocation_cascades(desk: Any) -> None:
    """With a token go its children and theirs; an orphan and the parent stay."""
    root_text, root = await desk.root()
    a_text, a = await desk.token(root, "app")
    b_text, b = await desk.token(a)
    c_text, _ = await desk.token(b)
    o_text, _ = await desk.token(b, no_parent=True, sudo=True)
    await desk.tokens.revoke(await desk.tokens.lookup(a_text))
    for text in (a_text, b_text, c_text):
        await _refused(desk, text)
    assert await desk.who(root_text)
    assert await desk.who(o_text)
    assert len(await desk.tokens.list_accessors()) == 2
    await desk.tokens.revoke(await desk.tokens.lookup_self(await desk.who(o_text)))
    await _refused(desk, o_text)


async def test_revoking_what_is_gone(desk: Any) -> None:
    """Ending a token twice is no error."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "app")
    row = await desk.tokens.lookup(text)
    await desk.tokens.revoke(row)
    await desk.tokens.revoke(row)
    assert await desk.tokens.find_by_text(text) is None
    assert await desk.tokens.find_by_accessor(row.accessor) is None


async def test_revoke_orphan(desk: Any) -> None:
    """The children of a token that is ended so live on as orphans, in one step."""
    _, root = await desk.root()
    a_text, a = await desk.token(root, "app")
    b_text, b = await desk.token(a)
    c_text, _ = await desk.token(b)
    row = await desk.tokens.lookup(a_text)
    await desk.tokens.revoke_orphan(row)
    await _refused(desk, a_text)
    assert (await desk.tokens.lookup_self(await desk.who(b_text))).parent == ""
    assert await desk.who(c_text)
    with pytest.raises(ValidationError, match="token to revoke not found"):
        await desk.tokens.revoke_orphan(row)


async def test_a_child_never_outlives_its_parent(desk: Any) -> None:
    """A child of a shorter-lived parent ends with it, before any sweep, unless that is renewed."""
    _, root = await desk.root()
    _, parent = await desk.token(root, "app", ttl=HOUR)
    text, child = await desk.token(parent, ttl=10 * HOUR)
    grandchild, _ = await desk.token(child, ttl=10 * HOUR)
    desk.world.time += HOUR - 1
    assert await desk.who(grandchild)
    await desk.tokens.renew(await desk.tokens.lookup_self(parent))
    desk.world.time += HOUR - 1
    assert await desk.who(grandchild)
    desk.world.time += 1
    await _refused(desk, text)
    await _refused(desk, grandchild)
    with pytest.raises(ValidationError, match="invalid accessor"):
        await desk.tokens.lookup_accessor(child.credential)


async def test_a_parent_that_ended_meanwhile(desk: Any) -> None:
    """A caller whose token ended after he was authenticated makes no child and no orphan."""
    _, root = await desk.root()
    text, app = await desk.token(root, "app", ttl=HOUR)
    desk.world.time += HOUR
    for orphan in (False, True):
        with pytest.raises(ValidationError, match="no parent found"):
            await desk.tokens.create(app, NewToken(), orphan=orphan)
    await desk.revoker.revoke_expired(desk.clock)
    for orphan in (False, True):
        with pytest.raises(ValidationError, match="no parent found"):
            await desk.tokens.create(app, NewToken(), orphan=orphan)
    assert await desk.tokens.find_by_text(text) is None


async def test_depth(desk: Any) -> None:
    """A line of tokens has a bound, the last of which still works."""
    text, who = await desk.root()
    for _ in range(module.MAX_DEPTH - 1):
        text, who = await desk.token(who)
    with pytest.raises(ValidationError, match="at most 32"):
        await desk.tokens.create(who, NewToken())
    assert await desk.who(text)


async def test_only_stored_credentials_have_children(desk: Any) -> None:
    """Our own background work, or any caller without a token or key, makes no tokens here."""
    with pytest.raises(ValidationError, match="no parent found"):
        await desk.tokens.create(ROOT, NewToken())
    with pytest.raises(AuthorizationError, match="bad token"):
        await desk.tokens.lookup_self(ROOT)


async def test_tokens_of_api_keys(desk: Any) -> None:
    """A token made with an API key is its user's, cut down as the key is, and ends with it."""
    user = await desk.users.create(ROOT, "ann", policies=["app", "ops"])
    cut = Permission(capabilities=("read",), paths=("secret/*",))
    _, key = await desk.key(user.id, permissions=[cut])
    text, who = await desk.token(key, "app")
    grandchild, deeper = await desk.token(who)
    assert (who.id, who.name, who.policies) == (user.id, "ann", ("app", "default"))
    assert who.permissions == deeper.permissions == (cut,)
    with pytest.raises(AuthorizationError, match="orphan"):
        await desk.tokens.create(key, NewToken(), sudo=True, orphan=True)
    with pytest.raises(AuthorizationError, match="orphan"):
        await desk.tokens.create(who, NewToken(no_parent=True), sudo=True)
    with pytest.raises(AuthorizationError, match="held by the permissions"):
        await desk.tokens.revoke_orphan(await desk.tokens.lookup_self(who))
    await desk.keys.revoke(ROOT, key.credential)
    await _refused(desk, text)
    await _refused(desk, grandchild)


async def test_token_for_somebody_else(desk: Any) -> None:
    """What sudo makes for others keeps its policies, and still ends with its maker's user."""
    user = await desk.users.create(ROOT, "admin", policies=["adm"])
    _, key = await desk.key(user.id)
    text, who = await desk.token(key, "app", sudo=True)
    assert (who.policies, who.id) == (("app", "default"), who.credential)
    await desk.users.update(ROOT, user.id, status="disabled")
    await _refused(desk, text)


async def test_a_user_loses_a_policy(desk: Any) -> None:
    """A policy that a user lost, his tokens lost at their next request."""
    user = await desk.users.create(ROOT, "ann", policies=["app", "ops"])
    _, key = await desk.key(user.id)
    text, who = await desk.token(key)
    assert who.policies == ("app", "default", "ops")
    await desk.users.update(ROOT, user.id, policies=["app"])
    assert (await desk.who(text)).policies == ("app", "default")
    await desk.users.update(ROOT, user.id, policies=["root"])
    assert (await desk.who(text)).policies == ("app", "default", "ops")


async def test_lookup_takes_the_secret(desk: Any) -> None:
    """The right id with another secret is no token; nor is an API key."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "app")
    forged = text[:-1] + ("a" if text[-1] != "a" else "b")
    assert await desk.tokens.find_by_text(forged) is None
    user = await desk.users.create(ROOT, "ann")
    key, _ = await desk.key(user.id)
    assert await desk.tokens.find_by_text(key) is None


async def test_no_secret_is_stored(desk: Any) -> None:
    """No row holds the text of a token."""
    _, root = await desk.root()
    made: IssuedToken = await desk.tokens.create(root, NewToken(id="chosen-by-root"))
    row = await desk.store.get(TOKENS, made.row.id)
    assert "chosen-by-root" not in repr(row)
    assert replace(row, mac=b"") == made.row
