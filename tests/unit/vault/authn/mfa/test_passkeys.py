"""Passkeys: for one address, with the user verified, each challenge and each count once."""

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from protocols.instant import SECOND
from tests.support.authenticator import PRESENT, SoftwareKey
from tests.unit.vault.authn.mfa.conftest import ROOT, Desk, refused
from vault.authn.mfa import passkeys, second_factors
from vault.authn.mfa.passkeys import TIMEOUT, RelyingParty
from vault.authn.mfa.proof import Proof
from vault.authn.mfa.second_factors import FactorParts, SecondFactors, step_up_purpose
from vault.crypto.keyring import Keyring
from vault.model.records import TokenRow, UserRow
from vault.seal.bound_keys import PepperedScheme

ORIGIN, HOST = "https://vault.example:8200", "vault.example"


class Site(NamedTuple):
    """An agent with a public address, an entity and a token of it."""

    desk: Desk
    factors: SecondFactors
    entity: UserRow
    row: TokenRow

    async def register(self, key: SoftwareKey) -> str:
        """The id of the factor."""
        caller = await self.desk.caller(self.row)
        options = await self.factors.begin_passkey(caller, self.row)
        made = key.create(options)
        found = await self.factors.register_passkey(caller, self.row, made, "key")
        return found.factor.id

    async def options(self, row: TokenRow | None = None) -> dict[str, Any]:
        """What is to be signed for a token."""
        return await self.factors.begin_assertion(self.entity.id, step_up_purpose(row or self.row))

    async def show(self, answer: dict[str, Any], row: TokenRow | None = None) -> TokenRow:
        """Step up with what a key has signed."""
        of = row or self.row
        signed = await self.factors.check_assertion(self.entity.id, step_up_purpose(of), answer)
        return await self.factors.verify(of, Proof(signed=signed))


@pytest.fixture
async def site(desk: Desk) -> Site:
    """The same desk, where passkeys are on."""
    scheme = PepperedScheme(Keyring.create(1, org="org", vault="vault").pepper)
    factors = SecondFactors(
        FactorParts(
            store=desk.entries,
            scheme=scheme,
            world=desk.world,
            random=os.urandom,
            party=RelyingParty.of(ORIGIN, "Freehold"),
        )
    )
    entity = await desk.entity()
    return Site(desk, factors, entity, await desk.token(entity))


async def test_a_key_that_was_registered_is_shown(site: Site) -> None:
    """And recovery codes come with the first one."""
    key = SoftwareKey(ORIGIN, HOST)
    options = await site.factors.begin_passkey(await site.desk.caller(site.row), site.row)
    assert options["rp"] == {"id": HOST, "name": "Freehold"}
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert site.entity.id not in str(options)
    factor = await site.register(key)
    found = await site.factors.list_own(site.entity.id)
    assert [(one.id, one.type, one.name) for one in found.factors] == [(factor, "webauthn", "key")]
    assert found.recovery_codes == 10
    asked = await site.options()
    assert [one["id"] for one in asked["allowCredentials"]] == [key.create(asked)["id"]]
    key.count = 1
    shown = await site.show(key.get(asked))
    assert shown.mfa_at == site.desk.world.time


@pytest.mark.parametrize("wrong", ["origin", "host", "unverified", "challenge", "garbage", "type"])
async def test_what_registers_no_key(site: Site, wrong: str) -> None:
    """Another site, no PIN, another challenge, or no answer at all."""
    key = SoftwareKey(
        "https://evil.example" if wrong == "origin" else ORIGIN,
        "evil.example" if wrong == "host" else HOST,
    )
    if wrong == "unverified":
        key.flags = PRESENT
    caller = await site.desk.caller(site.row)
    options = await site.factors.begin_passkey(caller, site.row)
    if wrong == "challenge":
        options = {**options, "challenge": "AAAA"}
    made = key.get(options) if wrong == "type" else key.create(options)
    if wrong == "garbage":
        made = {"response": {"attestationObject": "AA", "clientDataJSON": 5}}
    code = await refused(lambda: site.factors.register_passkey(caller, site.row, made, ""))
    assert code == "passkey_invalid"
    assert (await site.factors.list_own(site.entity.id)).factors == ()


@pytest.mark.parametrize("wrong", ["origin", "host", "unverified", "key", "challenge", "garbage"])
async def test_what_shows_no_key(site: Site, wrong: str) -> None:
    """The same, of a key that is registered."""
    key = SoftwareKey(ORIGIN, HOST)
    await site.register(key)
    asked = await site.options()
    key.count = 1
    if wrong == "origin":
        key.origin = "https://vault.example"
    elif wrong == "host":
        key.rp_id = "example"
    elif wrong == "unverified":
        key.flags = PRESENT
    elif wrong == "challenge":
        asked = {**asked, "challenge": "AAAA"}
    signer = SoftwareKey(ORIGIN, HOST) if wrong == "key" else key
    answer = signer.get(asked)
    if wrong == "garbage":
        answer["response"] = {"clientDataJSON": None}
    assert await refused(lambda: site.show(answer)) == "second_factor_refused"


async def test_a_challenge_is_signed_for_one_thing_once(site: Site) -> None:
    """Not for another token, not again by a key that counts nothing, not after five minutes."""
    key = SoftwareKey(ORIGIN, HOST)
    await site.register(key)
    other = await site.desk.token(site.entity, "other")
    asked = await site.options()
    await site.options(other)
    answer = key.get(asked)
    assert await refused(lambda: site.show(answer, other)) == "second_factor_refused"
    await site.show(answer)
    assert await refused(lambda: site.show(answer)) == "second_factor_refused"
    asked = await site.options()
    late = key.get(asked)
    site.desk.world.time += TIMEOUT * SECOND
    assert await refused(lambda: site.show(late)) == "second_factor_refused"


async def test_what_was_verified_must_still_be_so(site: Site) -> None:
    """In the transaction: the challenge is not over, and the key is the one that signed."""
    key, purpose = SoftwareKey(ORIGIN, HOST), step_up_purpose(site.row)
    await site.register(key)
    answer = key.get(await site.options())
    signed = await site.factors.check_assertion(site.entity.id, purpose, answer)
    assert signed is not None
    late = Proof(signed=signed)
    site.desk.world.time += TIMEOUT * SECOND
    assert await refused(lambda: site.factors.verify(site.row, late)) == "second_factor_refused"
    answer = key.get(await site.options())
    signed = await site.factors.check_assertion(site.entity.id, purpose, answer)
    again = key.get(await site.options())  # another challenge in its place
    of_before = Proof(signed=signed)
    assert await refused(lambda: site.factors.verify(site.row, of_before)) == (
        "second_factor_refused"
    )
    signed = await site.factors.check_assertion(site.entity.id, purpose, again)
    await site.factors.destroy(ROOT, site.entity.id, "")
    await site.register(SoftwareKey(ORIGIN, HOST))  # of the same id
    old = Proof(signed=signed)
    assert await refused(lambda: site.factors.verify(site.row, old)) == "second_factor_refused"


async def test_a_counter_that_does_not_grow_is_of_a_copy(site: Site) -> None:
    """Unless the key has none."""
    key = SoftwareKey(ORIGIN, HOST)
    await site.register(key)
    await site.show(key.get(await site.options()))  # 0 and 0: it does not count
    key.count = 5
    await site.show(key.get(await site.options()))
    for count in (5, 4, 0):
        key.count = count
        asked = await site.options()
        assert await refused(lambda a=asked: site.show(key.get(a))) == "second_factor_refused"
    key.count = 6
    await site.show(key.get(await site.options()))


async def test_a_login_that_waits_takes_a_key(site: Site) -> None:
    """For its own challenge; a recovery code of somebody with a key alone will do, too."""
    key = SoftwareKey(ORIGIN, HOST)
    await site.register(key)
    await site.desk.enforce(methods=("webauthn",))
    found = await site.desk.logins.find(await site.desk.waiting(site.entity))
    purpose = f"login/{found.key}"
    asked = await site.factors.begin_assertion(site.entity.id, purpose)
    key.count = 1
    signed = await site.factors.check_assertion(site.entity.id, purpose, key.get(asked))
    issued = await site.desk.logins.finish(found, Proof(signed=signed))
    assert issued.row.mfa_at == site.desk.world.time


async def test_a_key_is_registered_once_and_removed_by_who_has_it(site: Site) -> None:
    """The browser is told which there are; a step-up is shown to remove one."""
    key = SoftwareKey(ORIGIN, HOST)
    factor = await site.register(key)
    caller = await site.desk.caller(site.row)
    nothing = Proof()
    assert await refused(lambda: site.factors.remove(caller, site.row, factor, nothing)) == (
        "second_factor_refused"
    )
    key.count = 1
    await site.show(key.get(await site.options()))
    caller = await site.desk.caller(site.row)
    options = await site.factors.begin_passkey(caller, site.row)
    assert len(options["excludeCredentials"]) == 1
    made = key.create(options)
    assert await refused(lambda: site.factors.register_passkey(caller, site.row, made, "")) == (
        "factor_exists"
    )
    await site.factors.remove(caller, site.row, factor, nothing)
    assert (await site.factors.list_own(site.entity.id)).factors == ()


async def test_without_an_address_there_are_none(desk: Desk) -> None:
    """The error says which setting is missing."""
    row = await desk.token(await desk.entity())
    caller = await desk.caller(row)
    assert await refused(lambda: desk.factors.begin_passkey(caller, row)) == "passkeys_off"


async def test_nothing_is_computed_on_the_event_loop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passkeys cost milliseconds, and 0.2 s the first time; so does the picture of a secret."""
    own, seen = threading.get_ident(), list[str]()

    def watched(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            assert threading.get_ident() != own, name
            seen.append(name)
            return work(*args, **options)

        return run

    names = [
        "registration_options", "verify_registration", "assertion_options", "credential_of",
        "verify_assertion",
    ]  # fmt: skip
    for name in names:
        monkeypatch.setattr(passkeys, name, watched(name, getattr(passkeys, name)))
    picture = watched("qr_code_png", second_factors.qr_code_png)
    monkeypatch.setattr(second_factors, "qr_code_png", picture)
    made = await site.factors.begin_totp(await site.desk.caller(site.row), site.row, "phone")
    assert made.qr_code
    key = SoftwareKey(ORIGIN, HOST)
    await site.register(key)
    await site.show(key.get(await site.options()))
    assert seen == ["qr_code_png", *names]
