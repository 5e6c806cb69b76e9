"""Own factors: what enrols one, what counts, what is taken once, and who removes it."""

from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

import pytest
import trio

from actors.slewed_clock import EARLY
from protocols.instant import MINUTE
from tests.support.totp import App
from tests.unit.vault.authn.mfa.conftest import MOUNT, NOW, ROOT, STEP, Desk, refused
from vault.authn.mfa.proof import Proof
from vault.authn.mfa.second_factors import FRESH, NEW_LIFETIME
from vault.authn.tokens import NewToken
from vault.errors import VaultError
from vault.model.identity import Identity, Method
from vault.model.records import AuthEntryRow, EntityAliasRow
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_ENTRIES, ENTITY_ALIASES


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


async def test_a_factor_counts_once_a_code_has_confirmed_it(desk: Desk) -> None:
    """Before that it is no factor; its first code is taken by that."""
    row = await desk.token(await desk.entity())
    made = await desk.factors.begin_totp(await desk.caller(row), row, "phone")
    assert (await desk.factors.list_own(row.user_id)).factors == ()
    assert made.secret
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.confirm_totp(caller, row, "000")) == "code_wrong"
    app, codes = await desk.enrol(row)
    assert len(set(codes)) == 10
    found = await desk.factors.list_own(row.user_id)
    assert [(one.id, one.type, one.name) for one in found.factors] == [("totp", "totp", "phone")]
    assert found.recovery_codes == 10
    used = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.factors.verify(row, used)) == "second_factor_refused"


async def test_a_factor_that_nobody_confirms_is_gone(desk: Desk) -> None:
    """After ten minutes, though it still is in the database."""
    row = await desk.token(await desk.entity())
    await desk.factors.begin_totp(await desk.caller(row), row, "")
    desk.world.time += NEW_LIFETIME
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.confirm_totp(caller, row, "1")) == "no_new_factor"


async def test_step_up_sets_when_it_was(desk: Desk) -> None:
    """Of the one token, and of no other of the same entity."""
    entity = await desk.entity()
    row, other = await desk.token(entity), await desk.token(entity, "other")
    app, _ = await desk.enrol(row)
    assert not (await desk.caller(row)).mfa
    desk.world.time += STEP
    shown = await desk.factors.verify(row, Proof(passcode=desk.code(app)))
    assert shown.mfa_at == NOW + STEP
    assert (await desk.caller(row)).mfa_at == NOW + STEP
    assert not (await desk.caller(other)).mfa


async def test_of_a_hundred_uses_of_one_code_one_counts(desk: Desk) -> None:
    """At the same time, for tokens of one entity (CVE-2025-6014)."""
    entity = await desk.entity()
    rows = [await desk.token(entity, f"t{n}") for n in range(100)]
    app, codes = await desk.enrol(rows[0])
    desk.world.time += STEP
    waiting = iter(rows)
    proof = Proof(passcode=desk.code(app))
    assert await race(100, lambda: desk.factors.verify(next(waiting), proof)) == 1
    desk.world.time += 15 * MINUTE
    waiting = iter(rows)
    proof = Proof(passcode=codes[0])
    assert await race(100, lambda: desk.factors.verify(next(waiting), proof)) == 1


async def test_five_wrong_codes_and_none_counts(desk: Desk) -> None:
    """For 15 minutes, of whichever token of the entity; of another entity they do."""
    entity, bob = await desk.entity(), await desk.entity("bob")
    row, other = await desk.token(entity), await desk.token(entity, "other")
    of_bob = await desk.token(bob, "bob")
    app, codes = await desk.enrol(row)
    bobs, _ = await desk.enrol(of_bob)
    desk.world.time += STEP
    for token in (row, other, row, other, row):
        wrong = desk.wrong(app)
        assert await refused(lambda t=token, p=wrong: desk.factors.verify(t, p))
    for right in (desk.code(app), codes[0]):
        proof = Proof(passcode=right)
        assert await refused(lambda p=proof: desk.factors.verify(other, p))
    await desk.factors.verify(of_bob, Proof(passcode=desk.code(bobs)))
    desk.world.time += 15 * MINUTE
    await desk.factors.verify(other, Proof(passcode=desk.code(app)))


async def test_a_clock_that_was_ahead_ends_no_lock(desk: Desk) -> None:
    """Nor does it make one that lasts: it is 15 minutes from when the clock is right."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    desk.world.time += STEP
    ahead = 20 * MINUTE
    desk.world.time += ahead
    for _ in range(5):
        wrong = desk.wrong(app)
        assert await refused(lambda p=wrong: desk.factors.verify(row, p))
    desk.world.time -= ahead
    for later in (0, 15 * MINUTE - STEP):
        desk.world.time += later
        right = Proof(passcode=desk.code(app))
        assert await refused(lambda p=right: desk.factors.verify(row, p))
    desk.world.time += STEP
    await desk.factors.verify(row, Proof(passcode=desk.code(app)))


async def test_a_clock_that_was_ahead_ends_no_count(desk: Desk) -> None:
    """Four wrong codes before it is put right, and one after: that is five."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    desk.world.time += STEP
    ahead = 20 * MINUTE
    desk.world.time += ahead
    for back in (0, 0, 0, 0, ahead):
        desk.world.time -= back
        wrong = desk.wrong(app)
        assert await refused(lambda p=wrong: desk.factors.verify(row, p))
    right = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.factors.verify(row, right))


async def test_a_right_code_begins_the_count_anew(desk: Desk) -> None:
    """Four wrong ones, a right one, and four more are no lockout."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    for _ in range(2):
        desk.world.time += STEP
        for _ in range(4):
            wrong = desk.wrong(app)
            assert await refused(lambda p=wrong: desk.factors.verify(row, p))
        await desk.factors.verify(row, Proof(passcode=desk.code(app)))


async def test_a_recovery_code_stands_in_once(desk: Desk) -> None:
    """In any spelling, and only where there is a factor."""
    entity = await desk.entity()
    row = await desk.token(entity)
    _, codes = await desk.enrol(row)
    await desk.factors.verify(row, Proof(passcode=codes[0].upper().replace("-", " ")))
    again = Proof(passcode=codes[0])
    assert await refused(lambda: desk.factors.verify(row, again)) == "second_factor_refused"
    assert (await desk.factors.list_own(entity.id)).recovery_codes == 9
    caller = await desk.caller(row)
    fresh = await desk.factors.renew_recovery_codes(caller, row, Proof(passcode=codes[1]))
    old = Proof(passcode=codes[2])
    assert await refused(lambda: desk.factors.verify(row, old))
    await desk.factors.verify(row, Proof(passcode=fresh[0]))


async def test_a_stolen_token_adds_no_factor(desk: Desk) -> None:
    """Whoever has one shows it first, ten minutes before at most."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.begin_totp(caller, row, "mine")) == (
        "second_factor_required"
    )
    desk.world.time += STEP
    await desk.factors.verify(row, Proof(passcode=desk.code(app)))
    await desk.factors.begin_totp(await desk.caller(row), row, "new phone")
    desk.world.time += FRESH + 1
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.begin_totp(caller, row, "mine")) == (
        "second_factor_required"
    )


async def test_a_factor_that_was_shown_later_than_now_is_not_fresh(desk: Desk) -> None:
    """A clock that was ahead and is put right would lengthen the ten minutes by its lead."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    desk.world.time += STEP
    await desk.factors.verify(row, Proof(passcode=desk.code(app)))
    desk.world.time -= EARLY  # what clocks of several machines may differ by
    await desk.factors.begin_totp(await desk.caller(row), row, "mine")
    desk.world.time -= 1
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.begin_totp(caller, row, "mine")) == (
        "second_factor_required"
    )


async def test_a_factor_is_removed_by_a_code_of_it(desk: Desk) -> None:
    """Recovery codes go with the last one."""
    entity = await desk.entity()
    row = await desk.token(entity)
    app, codes = await desk.enrol(row)
    caller = await desk.caller(row)
    desk.world.time += STEP
    wrong = desk.wrong(app)
    assert await refused(lambda: desk.factors.remove(caller, row, "totp", wrong)) == (
        "second_factor_refused"
    )
    right = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.factors.remove(caller, row, "none", right)) == (
        "factor_not_found"
    )
    await desk.factors.remove(caller, row, "totp", right)
    assert (await desk.factors.list_own(entity.id)).recovery_codes == 0
    left = Proof(passcode=codes[0])
    assert await refused(lambda: desk.factors.verify(row, left)) == "second_factor_refused"


async def test_an_administrator_gives_and_takes_factors(desk: Desk) -> None:
    """Within their authority: nobody edits the credentials of somebody more privileged."""
    entity = await desk.entity(policies=["strong"])
    row = await desk.token(entity)
    weak = Identity(id="w", name="w", method=Method.TOKEN, policies=("weak",))
    for run in (
        lambda: desk.factors.generate(weak, entity.id, "totp", own=False),
        lambda: desk.factors.destroy(weak, entity.id, ""),
    ):
        assert await refused(run) == "more_privileged"
    made = await desk.factors.generate(ROOT, entity.id, "totp", own=False)
    assert made.made is not None
    assert App(made.made.url).fields["issuer"] == "Freehold"
    assert f"/Freehold:{entity.username}?" in made.made.url
    again = await desk.factors.generate(ROOT, entity.id, "totp", own=False)
    assert again.made is None
    await desk.factors.destroy(ROOT, entity.id, "")
    assert (await desk.factors.list_own(row.user_id)).factors == ()


async def test_secrets_are_stored_sealed_and_codes_as_hashes(desk: Desk) -> None:
    """Neither the secret nor a recovery code is in any row."""
    row = await desk.token(await desk.entity())
    app, codes = await desk.enrol(row)
    stored: list[AuthEntryRow] = await desk.store.select(AUTH_ENTRIES, StoreQuery())
    text = repr([(one.name, one.document, one.box) for one in stored])
    assert app.fields["secret"] not in text
    for code in codes:
        assert code not in text
        assert code.replace("-", "") not in text


async def test_who_belongs_to_nobody_has_no_factors(desk: Desk) -> None:
    """A token without an entity, and a batch token, which cannot be changed."""
    entity = await desk.entity()
    row = await desk.token(entity, "free", user_id="", mount_id="m")
    proof = Proof(passcode="123456")
    assert await refused(lambda: desk.factors.verify(row, proof)) == "no_entity"
    batch = await desk.token(entity, "b")
    object_ = type(batch)(
        **{name: getattr(batch, name) for name in batch.__struct_fields__} | {"accessor": "batch-x"}
    )
    assert await refused(lambda: desk.factors.verify(object_, proof)) == "batch_token"


@pytest.mark.parametrize("end", ["revoked", "expired", "disabled"])
async def test_a_token_that_has_ended_is_not_strengthened(desk: Desk, end: str) -> None:
    """Whatever was looked up before."""
    entity = await desk.entity()
    row = await desk.token(entity)
    app, _ = await desk.enrol(row)
    desk.world.time += STEP
    if end == "disabled":
        await desk.entity(status="disabled")
    elif end == "expired":
        desk.world.time = row.expires_at
    else:
        await desk.token(entity, "t", expires_at=1, issued_at=1)
    proof = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.factors.verify(row, proof)) == "second_factor_refused"


async def test_what_a_token_makes_is_as_old_as_it(desk: Desk) -> None:
    """For the same person; an orphan, and a token with other policies, begin without a factor."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    tokens = desk.make_tokens()
    before = await tokens.create(await desk.caller(row), NewToken())
    desk.world.time += STEP
    await desk.factors.verify(row, Proof(passcode=desk.code(app)))
    caller, shown = await desk.caller(row), desk.world.time
    desk.world.time += MINUTE
    made = await tokens.create(caller, NewToken())
    assert (await desk.caller(made.row)).mfa_at == shown
    assert not (await desk.caller(before.row)).mfa
    orphan = await tokens.create(caller, NewToken(), orphan=True)
    assert not (await desk.caller(orphan.row)).mfa
    other = await tokens.create(caller, NewToken(policies=("more",)), sudo=True)
    assert not (await desk.caller(other.row)).mfa
    renewed = await tokens.renew(made.row)
    assert renewed.row.mfa_at == shown


async def test_a_token_from_before_an_enforcement_is_not_renewed(desk: Desk) -> None:
    """Until a factor is shown for it."""
    row = await desk.token(await desk.entity())
    app, _ = await desk.enrol(row)
    tokens = desk.make_tokens()
    await tokens.renew(row)
    await desk.enforce()
    assert await refused(lambda: tokens.renew(row)) == "second_factor_needed"
    desk.world.time += STEP
    await desk.factors.verify(row, Proof(passcode=desk.code(app)))
    await tokens.renew(row)


async def test_wrong_first_codes_lock_too(desk: Desk) -> None:
    """They are wrong codes of the entity as any others."""
    row = await desk.token(await desk.entity())
    made = await desk.factors.begin_totp(await desk.caller(row), row, "")
    app, caller = App(made.url), await desk.caller(row)
    for _ in range(5):
        wrong = desk.wrong(app).passcode
        assert await refused(lambda c=wrong: desk.factors.confirm_totp(caller, row, c)) == (
            "code_wrong"
        )
    for back in (0, 20 * MINUTE):  # the clock was ahead; the lock begins anew once it is right
        desk.world.time -= back
        assert await refused(lambda: desk.factors.confirm_totp(caller, row, desk.code(app))) == (
            "second_factor_refused"
        )
    desk.world.time += 15 * MINUTE
    made = await desk.factors.begin_totp(caller, row, "")
    assert await desk.factors.confirm_totp(caller, row, desk.code(App(made.url)))


async def test_a_recovery_code_is_of_a_factor_that_is_there(desk: Desk) -> None:
    """An enforcement of passkeys is not satisfied by who has none."""
    entity = await desk.entity()
    _, codes = await desk.enrol(await desk.token(entity))
    await desk.enforce(methods=("webauthn",))
    request_id = await desk.waiting(entity)
    proof = Proof(passcode=codes[0])
    assert await refused(lambda: desk.finish(request_id, proof)) == "second_factor_refused"


ACCOUNTS = [
    pytest.param("entity_id-ann", ["userpass:a.smith"], "a.smith", id="nobody has named it"),
    pytest.param("Ann Smith", ["userpass:a.smith"], "a.smith", id="it is typed"),
    pytest.param("Ann Smith", ["ldap:as", "userpass:a.smith"], "a.smith", id="at this mount"),
    pytest.param("Ann Smith", ["oidc:google|17"], "Ann Smith", id="a source's id says nothing"),
    pytest.param("entity_id-ann", ["oidc:google|17"], "google|17", id="but more than ours"),
    pytest.param("ann", [], "ann", id="no alias"),
]


@pytest.mark.parametrize(("name", "logins", "account"), ACCOUNTS)
async def test_apps_and_passkeys_show_what_a_person_logs_in_with(
    desk: Desk, name: str, logins: list[str], account: str
) -> None:
    """In the app beside others' accounts; OpenBao's own methods show the entity's id, as there."""
    aliases = [_alias(*login.split(":")) for login in logins]
    entity = await desk.entity(
        id="id-ann", username=name, aliases=[alias.alias_key for alias in aliases]
    )
    await desk.store.commit(lambda tx: [tx.put(ENTITY_ALIASES, alias) for alias in aliases])
    row = await desk.token(entity)
    made = await desk.factors.begin_totp(await desk.caller(row), row, "phone")
    assert unquote(urlsplit(made.url).path) == f"/Freehold:{account}"


async def test_a_secret_that_an_administrator_makes_shows_it_too(desk: Desk) -> None:
    """Whichever mount it is: nobody has logged in."""
    alias = _alias("userpass", "a.smith")
    entity = await desk.entity(aliases=[alias.alias_key])
    await desk.store.commit(lambda tx: tx.put(ENTITY_ALIASES, alias))
    made = (await desk.factors.generate(ROOT, entity.id, "totp", own=False)).made
    assert made is not None
    assert unquote(urlsplit(made.url).path) == "/Freehold:a.smith"


def _alias(kind: str, name: str) -> EntityAliasRow:
    """Of the desk's mount, if it is of its kind."""
    accessor = MOUNT.accessor if kind == MOUNT.type else f"acc-{kind}"
    return EntityAliasRow(
        alias_key=f"{accessor}:{name}", id=f"alias-{kind}", entity_id="id-ann", created_at=1,
        updated_at=1, mount_accessor=accessor, mount_path=f"auth/{kind}/", mount_type=kind,
        name=name,
    )  # fmt: skip
