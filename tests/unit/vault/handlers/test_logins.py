"""Auth mounts and logins over a real barrier: what gets in, what does not, and for how long."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.unit.vault.handlers.conftest import HERE, SECOND, House
from vault.authn.methods.method import LoginRefusedError
from vault.authn.tokens import NewToken
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
    VaultError,
)
from vault.model.identity import Identity, Method
from vault.model.operation import Origin
from vault.model.payloads import (
    ListEntries,
    MoveMount,
    Nothing,
    RenewToken,
    RewrapDataKeys,
    SelectEntry,
    TuneAuth,
    WriteEntry,
)
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_ENTRIES, TOKENS, USERS

HOUR = 3600 * SECOND
MINUTE = 60 * SECOND
ELSEWHERE = Origin(ip="192.0.2.9")


async def approle(house: House, **role: Any) -> tuple[str, str]:
    """A role `web`; its role-id and a secret-id."""
    await house.enable("approle")
    await house.put_entry("role", "approle/role/web", **role)
    place = "auth/approle/role/web"
    payload = SelectEntry(mount="approle/", kind="role", name="web")
    await house.do("auth.entry.read", place, payload)
    await house.act("write-role-id", "approle/role/web/role-id", "web", role_id="the-role")
    made = await house.act("secret-id", "approle/role/web/secret-id", "web")
    return "the-role", made["secret_id"]


async def ann(house: House, **fields: Any) -> None:
    """A user of userpass with the password `right`."""
    await house.enable("userpass")
    await house.put_entry("user", "userpass/users/ann", password="right", **fields)


async def caller(house: House, text: str, origin: Origin = HERE) -> Identity | None:
    """Whom a token stands for."""
    try:
        return await house.authenticator.authenticate(text, origin)
    except AuthenticationError:
        return None


async def test_a_machine_logs_in(house: House) -> None:
    """Its token has the role's policies and life, and is known by method and mount."""
    role_id, secret_id = await approle(house, token_policies=["p1"], token_ttl=20 * MINUTE)
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    assert issued.row.policies == ["default", "p1"]
    assert issued.row.expires_at - issued.row.issued_at == 20 * MINUTE
    assert issued.details["secret_id_accessor"]
    who = await caller(house, issued.text)
    assert who is not None
    assert (who.method, who.policies) == (Method.APPROLE, ("default", "p1"))
    assert who.holds_token


@pytest.mark.parametrize(
    "shown",
    [
        {"role_id": "the-role", "secret_id": "wrong"},
        {"role_id": "wrong", "secret_id": "wrong"},
        {"role_id": "THE-ROLE", "secret_id": "{right}"},
    ],
)
async def test_unknown_and_wrong_have_one_answer(house: House, shown: dict[str, str]) -> None:
    """Nobody learns which part is right."""
    _, secret_id = await approle(house)
    fields = {name: value.replace("{right}", secret_id) for name, value in shown.items()}
    with pytest.raises(LoginRefusedError) as refused:
        await house.log_in("approle/login", **fields)
    assert refused.value.vault_message == "invalid role or secret ID"
    assert refused.value.vault_status == 400


async def race(tries: int, one: Callable[[], Awaitable[object]]) -> int:
    """How many of so many at once succeed."""
    won = 0

    async def run() -> None:
        nonlocal won
        try:
            await one()
        except VaultError:
            return
        won += 1

    async with trio.open_nursery() as nursery:
        for _ in range(tries):
            nursery.start_soon(run)
    return won


async def test_a_secret_id_that_counts_once_counts_once(house: House) -> None:
    """Whoever was verified at the same moment gets nothing."""
    role_id, secret_id = await approle(house, secret_id_num_uses=1)
    fields = {"role_id": role_id, "secret_id": secret_id}
    verified = [await house.logins.verify("approle/login", fields, HERE) for _ in range(20)]
    waiting = iter(verified)
    assert await race(20, lambda: house.logins.issue(next(waiting))) == 1
    assert len(await house.store.select(TOKENS, StoreQuery())) == 1
    names = await house.store.select(
        AUTH_ENTRIES, StoreQuery(equals={"kind": "secret-id-accessor"})
    )
    assert names == []  # its accessor went with it


async def test_a_role_that_is_made_anew_has_no_old_secret_ids(house: House) -> None:
    """Those of the one before do not count, however many there are."""
    role_id, secret_id = await approle(house)
    select = SelectEntry(mount="approle/", kind="role", name="web")
    await house.do("auth.entry.delete", "auth/approle/role/web", select)
    await house.put_entry("role", "approle/role/web", role_id=role_id)
    with pytest.raises(LoginRefusedError):
        await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)


async def test_a_role_id_leads_to_one_role(house: House) -> None:
    """Another role cannot take it."""
    role_id, _ = await approle(house)
    with pytest.raises(ValidationError, match="role_id already in use"):
        await house.put_entry("role", "approle/role/other", role_id=role_id)


async def test_a_secret_id_counts_from_its_networks(house: House) -> None:
    """From others it does not."""
    role_id, _ = await approle(house, secret_id_bound_cidrs=["10.0.0.0/8"])
    made = await house.act(
        "secret-id", "approle/role/web/secret-id", "web", cidr_list=["10.0.0.0/16"]
    )
    fields = {"role_id": role_id, "secret_id": made["secret_id"]}
    with pytest.raises(LoginRefusedError):
        await house.log_in("approle/login", ELSEWHERE, **fields)
    await house.log_in("approle/login", **fields)
    with pytest.raises(ValidationError, match="subset"):
        await house.act("secret-id", "approle/role/web/secret-id", "web", cidr_list=["11.0.0.0/8"])


async def test_a_token_counts_from_its_networks_and_so_does_what_it_makes(house: House) -> None:
    """A child is bound as its parent is."""
    role_id, secret_id = await approle(
        house, token_bound_cidrs=["10.0.0.0/8"], token_policies=["makes"]
    )
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    who = await caller(house, issued.text)
    assert who is not None
    assert await caller(house, issued.text, ELSEWHERE) is None
    assert await caller(house, issued.text, Origin(ip="::ffff:10.0.0.7")) is not None
    child = await house.tokens.create(who, NewToken(policies=("makes",)))
    assert await caller(house, child.text, ELSEWHERE) is None
    inner = await caller(house, child.text)
    assert inner is not None
    assert (inner.method, inner.mount) == (Method.TOKEN, who.mount)


async def test_tokens_end_with_their_mount_and_move_with_it(house: House) -> None:
    """Disabling a mount is enough; nothing of it stays behind."""
    role_id, secret_id = await approle(house)
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    await house.do("auth.mount.move", "sys/auth/approle", MoveMount(to="machines/of/x"))
    assert await caller(house, issued.text) is not None
    await house.log_in("machines/of/x/login", role_id=role_id, secret_id=secret_id)
    with pytest.raises(NotFoundError):
        await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    await house.do("auth.mount.disable", "sys/auth/machines/of/x")
    assert await caller(house, issued.text) is None
    assert await house.store.select(AUTH_ENTRIES, StoreQuery()) == []
    assert await house.store.select(TOKENS, StoreQuery()) == []


@pytest.mark.parametrize("path", ["approle", "approle/x", "token", "token/x"])
async def test_mounts_do_not_overlap(house: House, path: str) -> None:
    """Neither with each other nor with that of tokens."""
    await house.enable("approle")
    with pytest.raises(ConflictError, match="already in use"):
        await house.enable("userpass", path)


async def test_a_person_logs_in_whatever_the_case(house: House) -> None:
    """And only with the password as it is by now."""
    await ann(house, token_policies=["p1"])
    issued = await house.log_in("userpass/login/ANN", password="right")
    assert (issued.row.meta, issued.row.display_name) == ({"username": "ann"}, "userpass-ann")
    verified = await house.logins.verify("userpass/login/ann", {"password": "right"}, HERE)
    await house.act("password", "userpass/users/ann/password", "ann", password="other")
    with pytest.raises(LoginRefusedError):
        await house.logins.issue(verified)
    await house.log_in("userpass/login/ann", password="other")


@pytest.mark.parametrize("name", ["ann", "nobody"])
async def test_no_spelling_of_a_name_escapes_the_lockout(house: House, name: str) -> None:
    """Five wrong ones lock a name, known or not; the right password as well, until it ends."""
    await ann(house)
    for spelling in (name, name.upper(), name.title(), name, name.upper()):
        with pytest.raises(LoginRefusedError, match="invalid username or password"):
            await house.log_in(f"userpass/login/{spelling}", password="wrong")
    for spelling in (name, name.title()):
        with pytest.raises(LoginRefusedError) as locked:
            await house.log_in(f"userpass/login/{spelling}", password="right")
        assert (locked.value.vault_status, locked.value.code) == (403, "login_locked")
    for odd in (
        f"{name}%00",
        f"{name} ",
        f" {name}",
        name.replace("a", "\u0430"),
        f"{name}/",
        "\ufb00",
    ):
        with pytest.raises((ValidationError, LoginRefusedError)):
            await house.log_in(f"userpass/login/{odd}", password="right")
    [locked_now] = await house.do("auth.lockout.list", "sys/locked-users")
    assert locked_now.names == [name]
    if name == "ann":
        unlock = SelectEntry(mount=locked_now.accessor, kind="", name=name)
        await house.do("auth.lockout.end", "sys/locked-users/x/unlock/ann", unlock)
        await house.log_in("userpass/login/ann", password="right")
    else:
        house.world.time += 15 * MINUTE
        assert await house.do("auth.lockout.list", "sys/locked-users") == []


async def test_the_right_password_behind_five_wrong_ones_does_not_count(house: House) -> None:
    """Whoever was verified before the lockout began is locked out as well."""
    await ann(house)
    verified = await house.logins.verify("userpass/login/ann", {"password": "right"}, HERE)
    await race(5, lambda: house.log_in("userpass/login/ann", password="wrong"))
    with pytest.raises(LoginRefusedError, match="permission denied"):
        await house.logins.issue(verified)


async def test_success_forgets_failures(house: House) -> None:
    """Four wrong ones, a right one, and counting begins anew."""
    await ann(house)
    for _ in range(2):
        await race(4, lambda: house.log_in("userpass/login/ann", password="wrong"))
        await house.log_in("userpass/login/ann", password="right")


async def test_a_lockout_is_tuned_by_mount(house: House) -> None:
    """And can be switched off."""
    await ann(house)
    off = {"user_lockout_config": {"lockout_disable": True}}
    await house.do("auth.mount.tune", "sys/auth/userpass", TuneAuth(tuning=off))
    await race(9, lambda: house.log_in("userpass/login/ann", password="wrong"))
    await house.log_in("userpass/login/ann", password="right")


async def test_what_is_secret_of_a_user_is_sealed_and_shown_to_nobody(house: House) -> None:
    """Not even the hash of a password is in a row or in an answer; it survives a key rotation."""
    await ann(house)
    select = SelectEntry(mount="userpass/", kind="user", name="ann")
    shown = await house.do("auth.entry.read", "auth/userpass/users/ann", select)
    assert not {"password", "password_hash"} & shown.document.keys()
    rows = await house.store.select(AUTH_ENTRIES, StoreQuery(equals={"kind": "user"}))
    assert "password_hash" not in rows[0].document
    assert b"argon2" not in rows[0].box
    await house.do("sys.rotate", "sys/rotate")
    await house.do("sys.rewrap", "sys/rewrap", RewrapDataKeys())
    await house.do("sys.retire_keys", "sys/rewrap")
    await house.log_in("userpass/login/ann", password="right")


async def test_a_write_changes_what_it_names(house: House) -> None:
    """The rest stays; what is unknown is refused by name."""
    await ann(house, token_policies=["p1"])
    await house.put_entry("user", "userpass/users/ANN".lower(), token_ttl=HOUR)
    issued = await house.log_in("userpass/login/ann", password="right")
    assert issued.row.policies == ["default", "p1"]
    assert issued.row.ttl == HOUR
    for wrong in ({"nonsense": 1}, {"token_ttl": -1}, {"token_policies": ["root"]}):
        with pytest.raises(ValidationError):
            await house.put_entry("user", "userpass/users/ann", **wrong)


async def test_what_is_authorized_is_what_is_done(house: House) -> None:
    """A path that names another entry than the payload is refused."""
    await ann(house)
    payload = WriteEntry(
        mount="userpass/", kind="user", name="ann", fields={"token_policies": ["p9"]}
    )
    with pytest.raises(AuthorizationError):
        await house.do("auth.entry.write", "auth/userpass/users/bob", payload)
    names = ListEntries(mount="userpass/", kind="user")
    with pytest.raises(AuthorizationError):
        await house.do("auth.entry.list", "auth/approle/role", names)
    assert await house.do("auth.entry.list", "auth/userpass/users", names) == ["ann"]


async def test_a_token_is_renewed_while_its_source_has_it(house: House) -> None:
    """And within the mount's bound."""
    await ann(house)
    tune = TuneAuth(default_lease_ttl=HOUR, max_lease_ttl=2 * HOUR)
    await house.do("auth.mount.tune", "sys/auth/userpass", tune)
    issued = await house.log_in("userpass/login/ann", password="right")
    assert issued.row.ttl == HOUR
    house.world.time += HOUR // 2
    by = await caller(house, issued.text)
    assert by is not None
    renewed = await house.do("token.renew_self", "auth/token/renew-self", RenewToken(), by=by)
    assert renewed.row.expires_at == house.world.time + HOUR
    far = RenewToken(increment=9 * HOUR)
    renewed = await house.do("token.renew_self", "auth/token/renew-self", far, by=by)
    assert renewed.row.expires_at == issued.row.created_at + 2 * HOUR
    select = SelectEntry(mount="userpass/", kind="user", name="ann")
    await house.do("auth.entry.delete", "auth/userpass/users/ann", select)
    with pytest.raises(ValidationError, match="user no longer exists"):
        await house.do("token.renew_self", "auth/token/renew-self", RenewToken(), by=by)


async def test_a_batch_token_is_stored_nowhere_and_ends_with_its_mount(house: House) -> None:
    """It is neither renewed nor revoked, and makes nothing."""
    role_id, secret_id = await approle(house, token_type="batch", token_policies=["p1"])
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    assert await house.store.select(TOKENS, StoreQuery()) == []
    who = await caller(house, issued.text)
    assert who is not None
    assert who.policies == ("default", "p1")
    forged = issued.text[:9] + ("B" if issued.text[9] == "A" else "A") + issued.text[10:]
    assert await caller(house, forged) is None
    with pytest.raises(ValidationError, match="cannot be renewed"):
        await house.do("token.renew_self", "auth/token/renew-self", RenewToken(), by=who)
    with pytest.raises(ValidationError, match="cannot be revoked"):
        await house.do("token.revoke_self", "auth/token/revoke-self", Nothing(), by=who)
    with pytest.raises(ValidationError, match="cannot create"):
        await house.tokens.create(who, NewToken())
    await house.do("auth.mount.disable", "sys/auth/approle")
    assert await caller(house, issued.text) is None


async def test_a_login_brings_no_root(house: House) -> None:
    """Neither by the mount's entry nor by a method's fault."""
    await house.enable("approle")
    with pytest.raises(ValidationError, match="root"):
        await house.put_entry("role", "approle/role/web", token_policies=["Root"])


async def test_users_of_the_store_are_no_entities_yet(house: House) -> None:
    """Without a directory a login makes nobody."""
    role_id, secret_id = await approle(house)
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    assert issued.row.user_id == ""
    assert await house.store.select(USERS, StoreQuery()) == []


async def test_no_role_widens_the_networks_of_what_makes_a_token(house: House) -> None:
    """A role's networks count within those of the parent; where nothing is in both, it is refused.

    An orphan is bound as well: it would be the way out.
    """
    role_id, secret_id = await approle(
        house, token_bound_cidrs=["10.0.0.0/8"], token_policies=["makes"]
    )
    issued = await house.log_in("approle/login", role_id=role_id, secret_id=secret_id)
    who = await caller(house, issued.text)
    assert who is not None
    for asked, orphan, made in (
        (("0.0.0.0/0", "::/0"), False, ["10.0.0.0/8"]),
        (("10.1.0.0/16", "192.0.2.0/24"), False, ["10.1.0.0/16"]),
        (("0.0.0.0/0",), True, ["10.0.0.0/8"]),
    ):
        new = NewToken(policies=("makes",), bound_cidrs=asked)
        child = await house.tokens.create(who, new, orphan=orphan)
        assert child.row.bound_cidrs == made
        assert await caller(house, child.text, ELSEWHERE) is None
    for kind in ("", "batch"):
        wide = NewToken(policies=("makes",), bound_cidrs=("192.0.2.0/24",), type=kind)
        with pytest.raises(ValidationError, match="outside"):
            await house.tokens.create(who, wide)


async def test_a_mount_is_moved_by_who_may_manage_both_places(house: House) -> None:
    """Whoever manages a folder of mounts brings none of them elsewhere."""
    await house.enable("userpass", "team/people")
    team = await house.allow("team", "sys/auth/team/*", capabilities=("sudo",))
    move = "auth.mount.move"
    with pytest.raises(AuthorizationError):
        await house.do(move, "sys/auth/team/people", MoveMount(to="everybody"), by=team)
    moved = await house.do(move, "sys/auth/team/people", MoveMount(to="team/all"), by=team)
    assert moved.target == "auth/team/all/"
