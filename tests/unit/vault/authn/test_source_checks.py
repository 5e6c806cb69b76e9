"""Whoever a source no longer has loses tokens and groups here; one that is silent ends nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from vault.authn.aliases import EnabledMounts, alias_mount
from vault.authn.credential_validity import token_identity
from vault.authn.entities import Entities, EntityChange, EntityDirectory
from vault.authn.groups import EXTERNAL, GroupChange, Groups
from vault.authn.source_checks import SourceRecords
from vault.errors import UnavailableError
from vault.handlers.handler import Call
from vault.handlers.source_checks import CONFIRMED, REFUSED, UNUSED, SourceCheckHandlers
from vault.jobs.source_checks import BATCH, SourceChecks
from vault.model.auth_mounts import AuthMountTable
from vault.model.identity import Identity, Method, service_identity
from vault.model.operation import Operation
from vault.model.records import AuthMountRow, EntityAliasRow, TokenRow, UserRow
from vault.store.tables import AUTH_MOUNTS, ENTITY_ALIASES, TOKENS, USERS

SECOND = 10**9
HOUR = 3600 * SECOND
ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))
LDAP = AuthMountRow(
    id="m1", path="corp/ldap/", accessor="auth_ldap_1", type="ldap", created_at=1, updated_at=1
)
JWT = AuthMountRow(
    id="m2", path="jwt/", accessor="auth_jwt_1", type="jwt", created_at=1, updated_at=1
)


class Source:
    """A directory with some people in it."""

    def __init__(self) -> None:
        self.people: set[str] = set()
        self.is_down = False
        self.asked: list[str] = []

    async def confirm(self, token: TokenRow) -> bool:
        """Whether the one whose name is the token's is there."""
        await trio.lowlevel.checkpoint()
        self.asked.append(token.display_name)
        if self.is_down:
            raise UnavailableError("source_unavailable", "it does not answer")
        return token.display_name in self.people


class House:
    """Logins at two mounts, and the job that asks their source."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.mounts = AuthMountTable([LDAP, JWT])
        self.source = Source()
        self.records = SourceRecords(desk.store, desk.revoker, self.mounts)
        self.handlers = SourceCheckHandlers(self.records, self.source, desk.world)
        self.directory = EntityDirectory(desk.world)
        self.entities = Entities(desk.store, desk.revoker, desk.world, EnabledMounts(self.mounts))
        self.groups = Groups(desk.store, desk.world, EnabledMounts(self.mounts))
        self.outcomes: list[str] = []

    async def open(self) -> "House":
        """With the mounts stored."""
        await self.desk.store.commit(
            lambda tx: [tx.put(AUTH_MOUNTS, mount) for mount in (LDAP, JWT)]
        )
        return self

    async def log_in(
        self, name: str, mount: AuthMountRow = LDAP, *policies: str, groups: tuple[str, ...] = ()
    ) -> str:
        """The id of the token."""
        self.source.people.add(name)
        token_id, now = self.desk.world.new_id(), self.desk.world.now()

        def change(tx: Any) -> None:
            entity = self.directory.admit(tx, alias_mount(mount), name, metadata={}, groups=groups)
            row = TokenRow(
                id=token_id,
                accessor=f"accessor of {token_id}",
                secret_hash=b"",
                display_name=name,
                user_id=entity.id,
                policies=[*policies],
                created_at=now,
                issued_at=now,
                ttl=100 * HOUR,
                expires_at=now + 100 * HOUR,
                mount_id=mount.id,
            )
            tx.put(TOKENS, row)

        await self.desk.store.commit(change)
        return token_id

    async def identity(self, token_id: str) -> Identity | None:
        """Whom the token stands for now."""

        def change(tx: Any) -> Identity | None:
            row = tx.get(TOKENS, token_id)
            return None if row is None else token_identity(tx.get, row, self.desk.world.now())

        return await self.desk.store.commit(change)  # type: ignore[no-any-return]  # of any type

    async def entity(self, token_id: str) -> UserRow:
        """Of a token."""
        row = await self.desk.store.get(TOKENS, token_id)
        return await self.desk.store.get(USERS, row.user_id)  # type: ignore[no-any-return]  # of any type

    async def run(self, op: Operation[Any, Any]) -> Any:
        """What the pipeline does with the job's operations, without its other steps."""
        assert op.service == "source-checks"
        handler = self.handlers.handlers()[op.name]
        done = await handler.run(Call(op, service_identity(op.service)))
        self.outcomes.append(done.outcome)
        return done

    def job(self, run: Callable[..., Awaitable[Any]] | None = None) -> SourceChecks:
        """As an agent has it, for a source's word of at most an hour."""
        return SourceChecks(self.records, run or self.run, HOUR, self.desk.world)


@pytest.fixture
async def house(desk: Any) -> House:
    """Two mounts, nobody logged in."""
    return await House(desk).open()


async def test_who_left_the_source_is_out(house: House) -> None:
    """Within the age of its word, with all tokens of that mount, and without its groups."""
    group, _ = await house.groups.write(
        ROOT, GroupChange(name="devs", kind=EXTERNAL, policies=("dev",))
    )
    await house.groups.write_alias(ROOT, name="devs", accessor=LDAP.accessor, group_id=group.id)
    ann, bob = await house.log_in("ann", groups=("devs",)), await house.log_in("bob")
    second = await house.log_in("ann", groups=("devs",))
    found = await house.identity(ann)
    assert found is not None
    assert "dev" in found.policies
    entity = await house.entity(ann)
    house.source.people.remove("ann")
    await house.job()()
    assert house.outcomes == []  # nobody's word is an hour old
    house.desk.world.time += HOUR
    await house.job()()
    assert sorted(house.outcomes) == [CONFIRMED, REFUSED]
    assert await house.identity(ann) is await house.identity(second) is None
    assert await house.identity(bob) is not None
    left = await house.desk.store.get(USERS, entity.id)
    assert left.member_of == {}
    house.outcomes.clear()
    await house.job()()
    assert house.outcomes == []  # one is confirmed, of the other nothing depends on the source


async def test_other_mounts_go_on(house: House) -> None:
    """What one source says ends tokens of its own logins alone."""
    at_ldap = await house.log_in("ann")
    at_jwt = await house.log_in("ann", JWT)
    house.source.people.remove("ann")
    house.desk.world.time += HOUR
    house.source.people.add("other")
    alias = (await house.entities.find_by_alias(LDAP.accessor, "ann")).aliases[0]
    await house.records.end(alias.alias_key)
    assert await house.identity(at_ldap) is None
    assert await house.identity(at_jwt) is not None


async def test_a_source_that_is_down_ends_nothing(house: House) -> None:
    """Nothing changes, and it is asked about one alias a turn, not about all."""
    tokens = [await house.log_in(name) for name in ("ann", "bob", "cyd")]
    house.desk.world.time += 2 * HOUR
    house.source.is_down = True
    await house.job()()
    assert len(house.source.asked) == 1
    assert [await house.identity(one) for one in tokens].count(None) == 0
    house.source.is_down = False
    await house.job()()
    assert house.outcomes == [CONFIRMED] * 3


async def test_one_source_waits_for_no_other(house: House) -> None:
    """While one hangs, aliases of another mount are checked."""
    await house.log_in("ann")
    await house.log_in("bob", JWT)
    house.desk.world.time += HOUR
    done, seen = trio.Event(), list[str]()

    async def run(op: Operation[Any, Any]) -> Any:
        seen.append(op.payload.alias_key)
        if op.payload.alias_key.startswith(LDAP.accessor):
            await trio.sleep_forever()
        result = await house.run(op)
        done.set()
        return result

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.job(run))
            await done.wait()
            nursery.cancel_scope.cancel()
    assert house.outcomes == [CONFIRMED]


async def test_all_that_is_due_is_asked_about(house: House) -> None:
    """More aliases than one query returns; one without tokens costs no question."""
    for number in range(BATCH + 2):
        await house.log_in(f"p{number}")
    await house.desk.store.commit(
        lambda tx: tx.put(
            ENTITY_ALIASES,
            EntityAliasRow(
                alias_key=f"{LDAP.accessor}:old",
                id="old",
                entity_id="gone",
                mount_accessor=LDAP.accessor,
                mount_path="auth/corp/ldap/",
                mount_type="ldap",
                name="old",
                verified_at=1,
                created_at=1,
                updated_at=1,
            ),
        )
    )
    house.desk.world.time += HOUR
    await house.job()()
    assert house.outcomes.count(CONFIRMED) == BATCH + 2
    assert house.outcomes.count(UNUSED) == 1
    assert len(house.source.asked) == BATCH + 2


async def test_tokens_follow_their_entity(house: House) -> None:
    """A login's token has its own policies and its entity's of now; root never."""
    token = await house.log_in("ann", LDAP, "own")
    entity = await house.entity(token)
    await house.entities.write(ROOT, EntityChange(policies=("more",)), entity_id=entity.id)
    found = await house.identity(token)
    assert found is not None
    assert (found.id, set(found.policies)) == (entity.id, {"own", "more"})
    row = await house.desk.store.get(USERS, entity.id)
    await house.desk.store.commit(lambda tx: tx.put(USERS, replace(row, policies=["root", "deny"])))
    found = await house.identity(token)
    assert found is not None
    assert set(found.policies) == {"own", "deny"}


@pytest.mark.parametrize("how", ["disabled", "deleted", "merged"])
async def test_tokens_end_with_their_entity(house: House, how: str) -> None:
    """At the next request, whether or not the tokens were found and removed."""
    token, other = await house.log_in("ann"), await house.log_in("bob", JWT)
    row = await house.desk.store.get(TOKENS, token)
    entity, into = await house.entity(token), await house.entity(other)
    if how == "disabled":
        await house.entities.write(ROOT, EntityChange(disabled=True), entity_id=entity.id)
    elif how == "deleted":
        await house.entities.delete(ROOT, [entity.id])
    else:
        await house.entities.merge(ROOT, into.id, [entity.id])
    assert await house.identity(token) is None
    await house.desk.store.commit(lambda tx: tx.put(TOKENS, row))  # as if it had been missed
    assert await house.identity(token) is None
    assert await house.identity(other) is not None


async def test_a_groups_denial_binds_children_too(house: House) -> None:
    """What a group denies is not shed by a child token, nor by root of the entity itself."""
    token = await house.log_in("ann", LDAP, "own")
    entity = await house.entity(token)
    await house.groups.write(
        ROOT, GroupChange(name="barred", policies=("deny",), members=(entity.id,))
    )
    parent = await house.desk.store.get(TOKENS, token)
    child = replace(
        parent,
        id="child",
        accessor="child",
        parent=token,
        policies=["own"],
        user_id="",
        mount_id="",
    )
    await house.desk.store.commit(lambda tx: tx.put(TOKENS, child))
    for row in (entity, replace(entity, policies=["root"])):
        now = await house.desk.store.get(USERS, entity.id)
        await house.desk.store.commit(
            lambda tx, row=row, now=now: tx.put(USERS, replace(now, policies=row.policies))
        )
        found = await house.identity("child")
        assert found is not None
        assert "deny" in found.binding_policies
        assert "deny" not in found.policies
