"""A login that goes with its request: it counts for what a login's token would, groups included."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import to_builtins

from tests.unit.vault.authn.test_entities import JWT, ROOT, House
from vault.authn.entities import EntityChange
from vault.authn.groups import EXTERNAL, MAX_GROUPS, GroupChange
from vault.authn.inline_logins import InlineLogins
from vault.authn.logins import VerifiedLogin
from vault.authn.methods.method import LoginRefusedError, LoginResult, TokenParameters
from vault.authn.mfa.enforcement import Enforcement
from vault.authn.mfa.entries import ALL, ENFORCEMENTS
from vault.model.auth_mounts import MFA_MOUNT
from vault.model.identity import Identity, Method
from vault.model.operation import Origin
from vault.model.payloads import LogIn
from vault.model.records import AuthEntryRow, AuthMountRow
from vault.store.tables import AUTH_ENTRIES

HERE = Origin(ip="10.0.0.1")
MOUNT = AuthMountRow(
    path="jwt/", id="m", accessor=JWT.accessor, type="jwt", created_at=1, updated_at=1
)


class Source:
    """Logins at a source that says what the test says."""

    def __init__(self) -> None:
        self.groups: tuple[str, ...] | None = ()
        self.roles: tuple[str, ...] = ()

    async def verify(self, path: str, _fields: Mapping[str, Any], origin: Origin) -> VerifiedLogin:
        """Ann, always."""
        result = LoginResult(
            alias="ann",
            display_name="ann",
            token=TokenParameters(policies=("role",), no_default_policy=True),
            groups=self.groups,
            roles=self.roles,
        )
        identity = Identity(id="auth_jwt_1:ann", name="jwt-ann", method=Method.JWT, mount="m")
        return VerifiedLogin(
            identity=identity, mount=MOUNT, path=path, result=result, origin=origin, lockout_name=""
        )

    async def spend(self, _login: VerifiedLogin) -> None:
        """Nothing counts once."""


@pytest.fixture
async def house(desk: Any) -> House:
    """With groups of the source that deny, and that allow."""
    house = House(desk)
    above, _ = await house.groups.write(ROOT, GroupChange(name="above", policies=("p-above",)))
    for name in ("barred", "devs"):
        row, _ = await house.groups.write(
            ROOT, GroupChange(name=name, kind=EXTERNAL, policies=(f"p-{name}",))
        )
        await house.groups.write_alias(ROOT, name=name, accessor=MOUNT.accessor, group_id=row.id)
        await house.groups.write(
            ROOT,
            GroupChange(children=(*(await house.groups.get(above.id)).row.children, row.id)),
            group_id=above.id,
        )
    await desk.roles.put(ROOT, "dev", policies=["p-role", "root"])
    return house


async def policies(house: House, source: Source) -> set[str]:
    """Of a request with a login."""
    inline = InlineLogins(source, house.desk.store, house.desk.world)  # type: ignore[arg-type]  # as `Logins`
    shown = LogIn(path="jwt/login", fields={})
    return set((await inline.authenticate(shown, HERE)).policies)


async def test_groups_and_roles_count_as_the_source_says_now(house: House) -> None:
    """Before there is an entity, and whatever the last login has stored."""
    source = Source()
    assert await policies(house, source) == {"role"}
    source.groups, source.roles = ("barred", "unknown"), ("dev",)
    assert await policies(house, source) == {"role", "p-barred", "p-above", "p-role"}
    ann = await house.admit(JWT, "ann", groups=["devs"], roles=["dev"])
    assert await house.policies(ann) == {"p-devs", "p-above", "p-role"}
    source.roles = ()
    assert await policies(house, source) == {"role", "p-barred", "p-above"}
    await house.admit(JWT, "ann", groups=["barred"])
    source.groups = None  # it says nothing of groups
    assert await policies(house, source) == {"role", "p-barred", "p-above"}
    source.groups = ()
    assert await policies(house, source) == {"role"}


async def test_what_others_say_of_the_entity_counts_too(house: House) -> None:
    """Groups of this vault, and of another mount."""
    ann = await house.admit(JWT, "ann")
    await house.groups.write(ROOT, GroupChange(name="own", policies=("p-own",), members=(ann.id,)))
    assert await policies(house, Source()) == {"role", "p-own"}
    await house.entities.write(ROOT, EntityChange(disabled=True), entity_id=ann.id)
    with pytest.raises(LoginRefusedError):
        await policies(house, Source())


async def test_more_groups_than_an_entity_can_be_in_are_refused(house: House) -> None:
    """As by a login with a token: one that is left out may be the one that denies."""
    ann = await house.admit(JWT, "ann")
    for number in range(MAX_GROUPS):
        await house.groups.write(ROOT, GroupChange(name=f"g{number}", members=(ann.id,)))
    source = Source()
    assert await policies(house, source) == {"role"}
    source.groups = ("barred",)
    with pytest.raises(LoginRefusedError):
        await policies(house, source)


async def test_a_login_that_needs_a_second_factor_cannot_come_with_a_request(house: House) -> None:
    """By its mount, its entity, or a group that the source names; nothing of it is used up."""
    source = Source()
    spent: list[VerifiedLogin] = []

    async def spend(login: VerifiedLogin) -> None:
        spent.append(login)

    source.spend = spend  # type: ignore[method-assign]
    ann = await house.admit(JWT, "ann")
    devs = await house.groups.find_by_name("devs")
    source.groups = ("devs",)
    for wanted in (
        Enforcement(methods=("totp",), types=("jwt",)),
        Enforcement(methods=("totp",), accessors=(MOUNT.accessor,)),
        Enforcement(methods=("totp",), entities=(ann.id,)),
        Enforcement(methods=("totp",), groups=(devs.row.id,)),
    ):
        row = AuthEntryRow(
            mount_id=MFA_MOUNT.id, kind=ENFORCEMENTS, name=ALL, id="e",
            document={"e": to_builtins(wanted)}, created_at=1, updated_at=1,
        )  # fmt: skip
        await house.desk.store.commit(lambda tx, r=row: tx.put(AUTH_ENTRIES, r))
        with pytest.raises(LoginRefusedError) as refused:
            await policies(house, source)
        assert refused.value.code == "second_factor_needed"
        assert not spent
    await house.desk.store.commit(lambda tx: tx.delete(AUTH_ENTRIES, row.mount_id, row.kind, ALL))
    await policies(house, source)
    assert len(spent) == 1
