"""Logins that need a second factor: which do, what finishes them, and what does not."""

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from protocols.instant import MINUTE
from tests.unit.vault.authn.mfa.conftest import MOUNT, ROOT, STEP, Desk, refused
from vault.authn.entities import Entities
from vault.authn.methods.method import LoginRefusedError
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS, EnforcementRules
from vault.authn.mfa.login_factors import WAIT
from vault.authn.mfa.proof import Proof
from vault.authn.revocation import Revoker
from vault.authn.stream_registry import StreamRegistry
from vault.errors import VaultError
from vault.model.records import GroupRow, TokenRow, UserRow
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_ENTRIES, AUTH_MOUNTS, GROUPS, SESSIONS, TOKENS, USERS


async def tokens(desk: Desk) -> list[TokenRow]:
    """All that are stored."""
    return list(await desk.store.select(TOKENS, StoreQuery()))


async def ready(desk: Desk) -> tuple[UserRow, Any, tuple[str, ...]]:
    """An entity with an authenticator app and recovery codes, and an enforcement; no tokens."""
    entity = await desk.entity()
    row = await desk.token(entity)
    app, codes = await desk.enrol(row)
    await desk.store.commit(lambda tx: tx.delete(TOKENS, row.id))
    await desk.enforce()
    desk.world.time += STEP
    return entity, app, codes


async def test_phase_one_leaves_nothing_that_authenticates(desk: Desk) -> None:
    """No token, and the id of the login is in no row."""
    entity, _, _ = await ready(desk)
    request_id = await desk.waiting(entity)
    assert await tokens(desk) == []
    rows = await desk.store.select(AUTH_ENTRIES, StoreQuery())
    assert request_id not in repr(rows)


async def test_phase_two_makes_the_token(desk: Desk) -> None:
    """Once; its life begins then, and it says when the factor was shown."""
    entity, app, _ = await ready(desk)
    request_id = await desk.waiting(entity, policies=["default", "p"])
    desk.world.time += MINUTE
    issued = await desk.finish(request_id, Proof(passcode=desk.code(app)))
    now = desk.world.time
    assert issued.text
    assert await tokens(desk) == [replace(issued.row, mac=(await tokens(desk))[0].mac)]
    row = issued.row
    assert (row.created_at, row.issued_at, row.mfa_at) == (now, now, now)
    assert row.expires_at == now + row.ttl
    assert row.policies == ["default", "p"]
    desk.world.time += STEP
    again = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.finish(request_id, again)) == "mfa_request_unknown"


async def test_phase_two_opens_the_session_of_a_person(desk: Desk) -> None:
    """From the address of phase one; a login that waits takes the place of none."""
    entity, app, _ = await ready(desk)
    request_id = await desk.waiting(entity, session=True)
    assert await desk.store.select(SESSIONS, StoreQuery()) == []
    issued = await desk.finish(request_id, Proof(passcode=desk.code(app)))
    (session,) = await desk.store.select(SESSIONS, StoreQuery())
    assert (session.token_id, session.user_id) == (issued.row.id, entity.id)
    assert (session.address, session.created_at) == ("192.0.2.7", desk.world.time)
    assert (await desk.caller(issued.row)).session == issued.row.id


async def test_a_login_waits_five_minutes(desk: Desk) -> None:
    """Also where it was found before."""
    entity, app, _ = await ready(desk)
    request_id = await desk.waiting(entity)
    found = await desk.logins.find(request_id)
    desk.world.time += WAIT
    assert await refused(lambda: desk.logins.find(request_id)) == "mfa_request_unknown"
    proof = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.logins.finish(found, proof)) == "mfa_request_unknown"
    assert await tokens(desk) == []


@pytest.mark.parametrize("request_id", ["", "x", "00000000-0000-4000-8000-000000000000"])
async def test_an_unknown_request_id(desk: Desk, request_id: str) -> None:
    """Finds nothing."""
    await ready(desk)
    assert await refused(lambda: desk.logins.find(request_id)) == "mfa_request_unknown"


async def test_one_code_finishes_one_of_a_hundred_logins(desk: Desk) -> None:
    """That wait for the same person (CVE-2025-6014)."""
    entity, app, codes = await ready(desk)
    for code in (desk.code(app), codes[0]):
        waiting = [await desk.logins.find(await desk.waiting(entity)) for _ in range(100)]
        before, proof = len(await tokens(desk)), Proof(passcode=code)

        async def finish(one: Any, proof: Proof = proof) -> None:
            try:
                await desk.logins.finish(one, proof)
            except VaultError:
                return

        async with trio.open_nursery() as nursery:
            for one in waiting:
                nursery.start_soon(finish, one)
        assert len(await tokens(desk)) == before + 1
        desk.world.time += 15 * MINUTE


async def test_wrong_codes_count_for_the_entity_over_all_its_logins(desk: Desk) -> None:
    """Five end the login, and the right code of any other one counts for 15 minutes not."""
    entity, app, codes = await ready(desk)
    for _ in range(4):
        request_id = await desk.waiting(entity)
        wrong = desk.wrong(app)
        assert await refused(lambda r=request_id, p=wrong: desk.finish(r, p)) == (
            "second_factor_refused"
        )
    last, other = await desk.waiting(entity), await desk.waiting(entity)
    wrong = desk.wrong(app)
    assert await refused(lambda: desk.finish(last, wrong)) == "second_factor_refused"
    right = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.finish(last, right)) == "mfa_request_unknown"
    for shown in (right, Proof(passcode=codes[0]), Proof(codes={"totp": (desk.code(app),)})):
        assert await refused(lambda p=shown: desk.finish(other, p))
    admission = await desk.log_in(entity, proof=right)
    assert admission.is_refused
    desk.world.time += 15 * MINUTE
    request_id = await desk.waiting(entity)
    await desk.finish(request_id, Proof(passcode=desk.code(app)))


async def test_guesses_at_the_same_time_are_counted_before_the_right_one(desk: Desk) -> None:
    """Of a hundred guesses at once five are looked at, however they are sent."""
    entity, app, _ = await ready(desk)
    waiting = [await desk.logins.find(await desk.waiting(entity)) for _ in range(21)]
    wrong, right = desk.wrong(app), Proof(passcode=desk.code(app))
    for one in waiting[:20]:
        assert await refused(lambda w=one: desk.logins.finish(w, wrong))
    assert await refused(lambda: desk.logins.finish(waiting[20], right))
    assert await tokens(desk) == []


async def test_a_password_does_not_lock_the_owner_out_of_a_session(desk: Desk) -> None:
    """Wrong codes of logins and of tokens are counted apart."""
    entity, app, _ = await ready(desk)
    own = await desk.token(entity)
    for _ in range(5):
        request_id = await desk.waiting(entity)
        wrong = desk.wrong(app)
        assert await refused(lambda r=request_id, p=wrong: desk.finish(r, p))
    await desk.factors.verify(own, Proof(passcode=desk.code(app)))


async def test_a_factor_of_somebody_else_is_none(desk: Desk) -> None:
    """Nor is one of another method."""
    entity, _, _ = await ready(desk)
    bob = await desk.entity("bob")
    bobs, codes = await desk.enrol(await desk.token(bob, "bob"))
    desk.world.time += STEP
    request_id = await desk.waiting(entity)
    for shown in (
        Proof(passcode=desk.code(bobs)),
        Proof(passcode=codes[0]),
        Proof(codes={"other": (desk.code(bobs),)}),
        Proof(codes={"totp": (desk.code(bobs), desk.code(bobs))}),
        Proof(),
    ):
        assert await refused(lambda p=shown: desk.finish(request_id, p))


async def test_each_enforcement_is_satisfied_by_one_of_its_methods(desk: Desk) -> None:
    """One right code of two that are needed is not used up."""
    entity, app, _ = await ready(desk)
    written = await desk.configuration.write_method({"issuer": "x", "name": "other"})
    await desk.enforce("f", methods=(written.id, "webauthn"))
    made = await desk.factors.generate(ROOT, entity.id, written.id, own=False)
    assert made.made is not None
    other = type(app)(made.made.url)
    request_id = await desk.waiting(entity)
    half = Proof(codes={"totp": (desk.code(app),)})
    assert await refused(lambda: desk.finish(request_id, half)) == "second_factor_refused"
    both = Proof(codes={"totp": (desk.code(app),), written.id: (desk.code(other),)})
    assert (await desk.finish(request_id, both)).row.mfa_at == desk.world.time


async def test_a_recovery_code_stands_for_one_method(desk: Desk) -> None:
    """As a code of an app does: another method takes a code of its own."""
    entity, app, codes = await ready(desk)
    written = await desk.configuration.write_method({"issuer": "x", "name": "other"})
    assert (await desk.factors.generate(ROOT, entity.id, written.id, own=False)).made is not None
    await desk.enforce("f", methods=(written.id, "webauthn"))
    request_id = await desk.waiting(entity)
    by_method = {"totp": (codes[0],), written.id: (codes[0],)}
    for one in (Proof(passcode=codes[0]), Proof(codes=by_method)):
        assert await refused(lambda p=one: desk.finish(request_id, p)) == "second_factor_refused"
    both = Proof(codes=by_method | {written.id: (codes[1],)})
    assert (await desk.finish(request_id, both)).row.mfa_at == desk.world.time
    request_id = await desk.waiting(entity)
    beside = Proof(codes={"totp": (desk.code(app),)}, passcode=codes[2])
    assert (await desk.finish(request_id, beside)).row.mfa_at == desk.world.time
    assert (await desk.factors.list_own(entity.id)).recovery_codes == 7


async def test_a_recovery_code_stands_for_the_method_that_all_need(desk: Desk) -> None:
    """Several enforcements of one method take one code, in whichever order they name methods."""
    entity, _, codes = await ready(desk)
    written = await desk.configuration.write_method({"issuer": "x", "name": "other"})
    assert (await desk.factors.generate(ROOT, entity.id, written.id, own=False)).made is not None
    await desk.enforce(methods=(written.id, "totp"))
    await desk.enforce("f")
    request_id = await desk.waiting(entity)
    token = await desk.finish(request_id, Proof(passcode=codes[0]))
    assert token.row.mfa_at == desk.world.time
    assert (await desk.factors.list_own(entity.id)).recovery_codes == 9


async def test_factors_that_come_with_a_login(desk: Desk) -> None:
    """Finish it at once, by the name of the method too; wrong ones are counted."""
    entity, app, _ = await ready(desk)
    assert (await desk.log_in(entity, Proof(codes={"totp": ("000",)}))).is_refused
    shown = Proof(codes={"totp": (desk.code(app),)})
    assert (await desk.log_in(entity, shown)).mfa_at == desk.world.time
    assert (await desk.log_in(entity, shown)).is_refused


async def test_a_method_that_waits_while_the_rules_change(desk: Desk) -> None:
    """Finishes by no rule but that of now: the login begins anew."""
    entity, app, _ = await ready(desk)
    request_id = await desk.waiting(entity)
    await desk.enforce("new", methods=("webauthn",))
    proof = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.finish(request_id, proof)) == "mfa_request_unknown"
    await desk.configuration.delete_enforcement("new")
    assert await refused(lambda: desk.finish(request_id, proof)) == "mfa_request_unknown"


@pytest.mark.parametrize("gone", ["mount", "entity", "disabled", "disabled for a while"])
async def test_what_a_login_stands_on_must_stand_still(desk: Desk, gone: str) -> None:
    """Mount and entity, at the moment of the second phase."""
    entity, app, _ = await ready(desk)
    found = await desk.logins.find(await desk.waiting(entity))

    def change(tx: Any) -> None:
        if gone == "mount":
            tx.delete(AUTH_MOUNTS, MOUNT.id)
        elif gone == "entity":
            tx.delete(USERS, entity.id)
        elif gone == "disabled":
            tx.put(USERS, replace(entity, status="disabled"))
        else:
            tx.put(USERS, replace(entity, updated_at=entity.updated_at + 1))

    await desk.store.commit(change)
    proof = Proof(passcode=desk.code(app))
    assert await refused(lambda: desk.logins.finish(found, proof)) == "mfa_request_unknown"
    assert await tokens(desk) == []


async def test_which_logins_an_enforcement_is_about(desk: Desk) -> None:
    """By accessor, type, entity, group, and a group above it; and no others."""
    entity = await desk.entity(member_of={"g": ""}, merged_from=["former"])
    bob = await desk.entity("bob")
    for row in (
        GroupRow(
            id="g",
            name="g",
            name_key="g",
            kind="internal",
            ancestors=["above"],
            parents=["above"],
            created_at=1,
            updated_at=1,
        ),
        GroupRow(id="above", name="a", name_key="a", kind="internal", created_at=1, updated_at=1),
    ):
        await desk.store.commit(lambda tx, r=row: tx.put(GROUPS, r))
    about: list[dict[str, Any]] = [
        {"types": (), "accessors": (MOUNT.accessor,)},
        {"types": ("userpass",)},
        {"types": (), "entities": (entity.id,)},
        {"types": (), "groups": ("g",)},
        {"types": (), "groups": ("above",)},
    ]
    for wanted in about:
        assert (await desk.log_in(entity)).requirement is None
        await desk.enforce(**wanted)
        assert (await desk.log_in(entity)).requirement is not None
        is_of_all = "entities" in wanted or "groups" in wanted
        assert ((await desk.log_in(bob)).requirement is None) is is_of_all
        await desk.configuration.delete_enforcement("e")
    former = await desk.entity("former", id="former")
    await desk.enforce(types=(), entities=(former.id,))
    await desk.store.commit(lambda tx: tx.delete(USERS, former.id))
    assert (await desk.log_in(entity)).requirement is not None  # who became one with it


async def test_a_login_that_names_nobody_is_refused(desk: Desk) -> None:
    """It could have no factor."""
    await ready(desk)
    with pytest.raises(LoginRefusedError) as error:
        await desk.log_in(UserRow(id="", username="", name_key="", created_at=1, updated_at=1))
    assert error.value.code == "second_factor_needed"


async def test_the_settings_enforce_for_types_of_mounts(desk: Desk) -> None:
    """Beside what is stored; nobody writes or deletes that one."""
    entity = await desk.entity()
    rules = EnforcementRules(("userpass",))
    row = await desk.token(entity)

    def lacks(tx: Any) -> tuple[bool, bool]:
        token = tx.get(TOKENS, row.id)
        return rules.is_lacking(tx.get, token), NO_ENFORCEMENTS.is_lacking(tx.get, token)

    assert await desk.store.commit(lacks) == (True, False)
    configuration = type(desk.configuration)(desk.entries, rules, desk.world)
    assert list(await configuration.list_enforcements()) == ["configuration"]
    assert await refused(lambda: configuration.delete_enforcement("configuration")) == (
        "enforcement_configured"
    )


async def test_a_method_that_is_needed_is_not_deleted(desk: Desk) -> None:
    """Else its enforcement could be satisfied by nobody."""
    written = await desk.configuration.write_method({"issuer": "x"})
    await desk.enforce(methods=(written.id,))
    assert await refused(lambda: desk.configuration.delete_method(written.id)) == "method_in_use"
    await desk.configuration.delete_enforcement("e")
    await desk.configuration.delete_method(written.id)
    assert await desk.configuration.list_methods() == []


async def test_an_entity_that_goes_takes_its_factors_along(desk: Desk) -> None:
    """And one that becomes another one hands them over, where that has none."""
    entity, app, _ = await ready(desk)
    bob = await desk.entity("bob")
    revoker = Revoker(desk.store, StreamRegistry(), desk.world.now)

    class NoMounts:
        def find_alias_mount(self, _accessor: str) -> None:
            return None

    entities = Entities(desk.store, revoker, desk.world, NoMounts())
    await entities.merge(ROOT, bob.id, [entity.id])
    assert (await desk.factors.list_own(entity.id)).factors == ()
    found = await desk.factors.list_own(bob.id)
    assert [one.id for one in found.factors] == ["totp"]
    assert found.recovery_codes == 0
    request_id = await desk.waiting(bob)
    await desk.finish(request_id, Proof(passcode=desk.code(app)))
    await entities.delete(ROOT, [bob.id])
    assert (await desk.factors.list_own(bob.id)).factors == ()


async def test_nobody_sees_what_was_shown(desk: Desk) -> None:
    """Values that hold codes and ids say nothing of them."""
    entity, _, _ = await ready(desk)
    admission = await desk.log_in(entity)
    assert admission.requirement is not None
    assert admission.requirement.request_id not in repr(admission)
    assert "123456" not in repr(Proof(passcode="123456", codes={"totp": ("123456",)}))
