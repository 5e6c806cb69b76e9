"""What people sign in with, on every database: once is once, also for a hundred at once."""

from contextlib import suppress

import pyotp
import pytest
import trio
from argon2 import PasswordHasher
from msgspec.structs import replace

from actors import SystemWorld
from control.authn.accounts import Accounts
from control.authn.attempts import MAX_FAILURES, Purpose, clear_attempts
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.passwords import Passwords
from control.authn.second_factors import FactorReplacement, SecondFactors
from control.authn.session_ends import SessionEnds
from control.authn.session_opener import SessionOpener, SessionRequest
from control.authn.sessions import SessionLimits, Sessions
from control.authn.users import Users
from control.crypto import Sealer
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
)
from control.model.identity import IdentityProvider, LinkedIdentity, LoginFlow, Terms
from control.model.people import Caller, Membership, Organization, Role, TokenKind
from control.model.records import AuditEvent
from control.services.audit_log import append_event
from control.store import audit_records, identities, invitations, members, people, second_factors
from control.store.audit_records import EventFilter
from control.store.store import Store
from protocols.instant import SECOND

PASSWORD = "correct horse battery"
ANN = Caller("acme", "ann", Role.OWNER, "t")


class People:
    """The services over one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.world, ends = (
            store,
            SystemWorld(),
            SessionEnds(*[lambda _tx, _account: lambda: None] * 2),
        )
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        passwords, sealer = Passwords(self.world, cheap), Sealer(bytes(32))
        opening = SessionOpener(store, ends, SessionLimits(), self.world)
        self.sessions = Sessions(store, ends, SessionLimits(), self.world)
        self.accounts = Accounts(store, passwords, opening, ends, self.world)
        self.users = Users(store, passwords, ends, self.world)
        self.factors = SecondFactors(store, sealer, opening, ends, self.world)
        self.replacement = FactorReplacement(store, self.factors, sealer, ends, self.world)
        self.members = Members(store, opening, ends, self.world)
        self.invitations = Invitations(store, passwords, sealer, opening, self.world)


@pytest.fixture
async def there(store: Store) -> People:
    """With `acme`, `beta` and the owner `acme/ann`."""
    made = People(store)
    for org in ("acme", "beta"):
        row = Organization(org, org, 1)
        await store.write(lambda tx, row=row: people.add_organization(tx, row))
    await made.users.create_user(None, "acme", "ann", Role.OWNER, PASSWORD)
    return made


async def test_a_code_is_taken_once(there: People) -> None:
    """Of a hundred who use it at once, one is let in; a recovery code likewise (CVE-2025-6014)."""
    begun = await there.factors.begin_enrolment("acme", "ann")
    now = there.world.now() // SECOND
    codes = await there.factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(now - 30)
    )
    for shown in (pyotp.TOTP(begun.secret).at(now), codes[0]):
        halves = [await there.accounts.login("acme", "ann", PASSWORD) for _ in range(3)]
        done: list[object] = []

        async def use(challenge: str, shown: str = shown, done: list[object] = done) -> None:
            with suppress(AuthenticationError):
                done.append(await there.factors.complete_login(challenge, shown, SessionRequest()))

        async with trio.open_nursery() as nursery:
            for challenge, _ in (halves * 34)[:100]:
                nursery.start_soon(use, challenge)
        assert len(done) == 1
        await there.store.write(lambda tx: people.clear_failures(tx, "acme", "ann#code"))
    left = await there.store.read(lambda tx: second_factors.count_recovery_codes(tx, "acme", "ann"))
    assert left == 9


async def test_a_code_proves_once_whatever_it_is_for(there: People) -> None:
    """Of a hundred at once, half a fresh proof and half another authenticator, one counts."""
    begun = await there.factors.begin_enrolment("acme", "ann")
    now = there.world.now() // SECOND
    codes = await there.factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(now - 30)
    )
    for shown in (pyotp.TOTP(begun.secret).at(now), codes[0]):
        done: list[bool | None] = []

        async def prove(shown: str = shown, done: list[bool | None] = done) -> None:
            done.append(await there.factors.verify_code(ANN, shown))

        async def replace_it(shown: str = shown, done: list[bool | None] = done) -> None:
            try:
                await there.replacement.begin_replacement(ANN, shown)
            except AuthorizationError:
                done.append(False)
            else:
                done.append(True)

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(prove)
                nursery.start_soon(replace_it)
        assert (len(done), sum(map(bool, done))) == (100, 1)
        await there.store.write(lambda tx: clear_attempts(tx, "acme", "ann", Purpose.CONFIRM_CODE))


async def test_of_a_hundred_changes_over_one_is_made(there: People) -> None:
    """The new authenticator's first code, at once: one set of recovery codes is the right one."""
    begun = await there.factors.begin_enrolment("acme", "ann")
    now = there.world.now() // SECOND
    codes = await there.factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(now - 30)
    )
    following = await there.replacement.begin_replacement(ANN, codes[0])
    shown, made = pyotp.TOTP(following.secret).at(now), []

    async def confirm() -> None:
        with suppress(AuthorizationError, ConflictError):
            made.append(await there.replacement.confirm_replacement(ANN, shown))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(confirm)
    assert len(made) == 1
    await there.store.write(lambda tx: people.clear_failures(tx, "acme", "ann#code"))
    assert await there.factors.verify_code(ANN, made[0][0])


async def test_a_hundred_guesses_are_five(there: People) -> None:
    """Of two processes, and in whatever spelling: then the right password counts no more.

    CVE-2025-6004: neither another process nor another way to write a name has five of its own.
    """
    other = People(there.store)
    right = PASSWORD
    spellings = [
        "ann",
        "ANN",
        "ann ",
        " ann",
        "Ann",
        "\uff41nn",
        "ann\0",
        "acme/ann",
        "./ann",
        "ann#code",
    ]
    looked: list[str] = []

    async def guess(at: People, org: str, name: str, password: str) -> None:
        with suppress(AuthenticationError):
            await at.accounts.login(org, name, password)
            looked.append(f"{org}/{name}")

    async with trio.open_nursery() as nursery:
        for number in range(100):
            at, name = (there, other)[number % 2], "ann"
            nursery.start_soon(guess, at, "acme", name, f"wrong-{number}")
    for at in (there, other):
        for name in spellings:
            for org in ("acme", "ACME", "acme ", "beta"):
                await guess(at, org, name, right)
    assert looked == []
    counted = await there.store.read(lambda tx: people.get_failures(tx, "acme", "ann"))
    assert counted[0] == MAX_FAILURES
    await there.store.write(lambda tx: people.clear_failures(tx, "acme", "ann"))
    for name in spellings:
        await guess(there, "acme", name, right)
    assert looked == ["acme/ann"]


async def test_an_invitation_is_used_once(there: People) -> None:
    """By one account of twenty; another for the address ends the one before."""
    old, _ = await there.invitations.create_invitation(ANN, "acme", "x@y.example", Role.VIEWER)
    secret, row = await there.invitations.create_invitation(ANN, "acme", "x@y.example", Role.VIEWER)
    done = []

    async def accept(name: str) -> None:
        with suppress(NotFoundError):
            done.append(
                await there.invitations.accept_invitation(secret, name, PASSWORD, SessionRequest())
            )

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(accept, f"new-{number}")
    assert len(done) == 1
    with pytest.raises(NotFoundError):
        await there.invitations.get_details(old)
    store, now = there.store, there.world.now()
    assert (
        await store.read(lambda tx: invitations.find_open_invitation(tx, "acme", row.email, now))
        is None
    )
    [kept] = await there.invitations.list_invitations("acme")
    assert kept.used_by.startswith("acme/new-")
    assert await store.write(lambda tx: invitations.delete_expired_invitations(tx, 2**62)) == 1


async def test_members_and_their_sessions(there: People) -> None:
    """What one holds for acting elsewhere is found there, and goes with the membership."""
    row = Membership("beta", "acme", "ann", Role.ADMIN, "beta/bea", 1)
    store = there.store
    await store.write(lambda tx: members.put_membership(tx, row, 1))
    await store.write(lambda tx: members.put_membership(tx, replace(row, role=Role.VIEWER), 2))
    secret, _ = await there.accounts.login("acme", "ann", PASSWORD)
    _, token = await there.members.switch_organization(
        await there.sessions.authenticate(secret), "beta"
    )
    assert token.role is Role.VIEWER
    held = await store.read(lambda tx: people.list_acting_tokens(tx, "beta"))
    assert held == [token]
    assert await store.read(lambda tx: people.list_acting_tokens(tx, "acme")) == []
    beta = await there.users.change_organization("beta", title=None, second_factor=True)
    assert beta.second_factor
    assert await store.read(lambda tx: people.list_acting_tokens(tx, "beta")) == []
    await store.write(lambda tx: people.delete_user(tx, "acme", "ann", 9))
    assert await store.read(lambda tx: members.list_memberships(tx, "acme", "ann")) == []


async def test_providers_identities_and_flows(store: Store) -> None:
    """As they were stored; a state is good once; names that only look alike are others."""
    terms = Terms(domains=("a.example",), role_claim="g", roles={"x": Role.ADMIN})
    provider = IdentityProvider("acme", "https://i.example", "c", b"\0\xff", terms, 1)
    await store.write(lambda tx: identities.put_provider(tx, provider))
    assert await store.read(lambda tx: identities.get_provider(tx, "acme")) == provider
    one = LinkedIdentity(provider.issuer, "Sub", "acme", "ann", 1, 1)
    await store.write(lambda tx: identities.put_identity(tx, one))
    for subject, org in (("sub", "acme"), ("Sub ", "acme"), ("Sub", "beta")):
        asked = (provider.issuer, subject, org)
        found = await store.read(lambda tx, asked=asked: identities.get_identity(tx, *asked))
        assert found is None, subject
    flow = LoginFlow(b"s", "acme", b"b", "n", "v", "r", "", 5)
    await store.write(lambda tx: identities.add_flow(tx, flow))
    await store.write(lambda tx: identities.add_flow(tx, replace(flow, state=b"t")))
    assert await store.read(lambda tx: identities.count_flows(tx, "acme")) == 2
    assert await store.write(lambda tx: identities.take_flow(tx, b"s")) == flow
    assert await store.write(lambda tx: identities.take_flow(tx, b"s")) is None
    assert await store.write(lambda tx: identities.delete_expired_flows(tx, 5)) == 1
    for state, org, client, expires_at in (
        (b"1", "acme", "x", 1), (b"2", "acme", "y", 3), (b"3", "acme", "y", 2),
        (b"4", "beta", "y", 1), (b"5", "beta", "y", 1), (b"6", "beta", "y", 1),
    ):  # fmt: skip
        made = replace(flow, state=state, org=org, client=client, expires_at=expires_at)
        await store.write(lambda tx, made=made: identities.add_flow(tx, made))
    for gone in (b"3", b"1", b"2"):  # of who has most, the oldest; then the oldest of all
        await store.write(lambda tx: identities.evict_flow(tx, "acme"))
        assert await store.write(lambda tx, gone=gone: identities.take_flow(tx, gone)) is None
        left = await store.read(lambda tx: identities.count_flows(tx, "acme"))
        assert left == {b"3": 2, b"1": 1, b"2": 0}[gone]
    await store.write(lambda tx: identities.evict_flow(tx, "acme"))
    assert await store.read(lambda tx: identities.count_flows(tx, "beta")) == 3
    await store.write(lambda tx: identities.delete_identities(tx, "acme", "ann"))
    key = (provider.issuer, "Sub", "acme")
    assert await store.read(lambda tx: identities.get_identity(tx, *key)) is None
    assert await store.write(lambda tx: identities.delete_provider(tx, "acme"))
    assert not await store.write(lambda tx: identities.delete_provider(tx, "acme"))


async def test_a_trail_is_searched_and_has_an_end(there: People) -> None:
    """By each field; a beginning is taken as it is written, `%` and `_` too."""
    plain = AuditEvent(
        "acme", 0, 5, "r", "acme/ann", "t", "::1", "users.create", "a%b", "outcome", "ok", "",
        {}, b"", b"",
    )  # fmt: skip
    for event in (plain, replace(plain, target="a_b", at=9), replace(plain, org="beta")):
        await there.store.write(lambda tx, event=event: append_event(tx, event))

    async def found(**wanted: object) -> list[str]:
        rule = EventFilter(**wanted)  # type: ignore[arg-type]
        rows = await there.store.read(
            lambda tx: audit_records.list_newest_events(tx, "acme", before=0, limit=9, filter_=rule)
        )
        return [row.target for row in rows]

    assert await found(operation="users.", actor="acme/ann") == ["a_b", "a%b"]
    assert await found(target="a%") == ["a%b"]
    assert await found(target="a_") == ["a_b"]
    assert await found(since=6) == ["a_b"]
    assert await found(until=9) == ["a%b"]
    assert await found(operation="USERS.") == []
    ends = await there.store.read(audit_records.chain_ends)
    assert [(org, size) for org, size, _ in ends] == [("acme", 2), ("beta", 1)]


async def test_a_session_is_of_its_kind(there: People) -> None:
    """All that is kept of it comes back, on every database."""
    secret, token = await there.accounts.login(
        "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
    )
    assert await there.store.read(lambda tx: people.get_token(tx, token.digest)) == token
    assert secret.encode() not in token.digest
