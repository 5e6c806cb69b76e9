"""Roles: named sets of policies, given to users."""

from collections.abc import Iterable
from typing import Final

from actors.world import World
from vault.authn.privilege import require_authority_over_role
from vault.errors import NotFoundError, ValidationError
from vault.model.identity import SERVICE_POLICIES, Identity, service_identity
from vault.model.name import canonical_name
from vault.model.records import RoleRow
from vault.store.store import Store
from vault.store.tables import ROLES
from vault.store.transaction import StoreTx

MAX_POLICIES: Final = 64  # of one role or user
MAX_DESCRIPTION: Final = 1024


async def load_service_identity(store: Store, name: str) -> Identity:
    """As `service_identity`, with the policies of the role that has the name of its own policy."""
    own = SERVICE_POLICIES.get(name)
    role = None if own is None else await store.get(ROLES, own)
    return service_identity(name, () if role is None else role.policies)


class Roles:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def put(
        self, caller: Identity, name: str, *, policies: Iterable[str], description: str = ""
    ) -> RoleRow:
        """Make or replace a role. Its users have its policies from their next request on.

        Raises `ValidationError`, and `AuthorizationError` unless the caller holds the policies it
        has and those it gets, and has no denial that it would lift.
        """
        name, wanted, now = (
            canonical_name(name, "name"),
            normalized_policy_names(policies),
            self._world.now(),
        )
        if len(description) > MAX_DESCRIPTION:
            raise ValidationError(
                "role_invalid",
                f"description is longer than {MAX_DESCRIPTION} characters",
                field="description",
            )

        def change(tx: StoreTx) -> RoleRow:
            old = tx.get(ROLES, name)
            require_authority_over_role(tx.get, caller, old.policies if old else (), wanted)
            row = RoleRow(
                name=name,
                description=description,
                policies=wanted,
                created_at=old.created_at if old else now,
                updated_at=now,
            )
            tx.put(ROLES, row)
            return row

        return await self._store.commit(change)

    async def get(self, name: str) -> RoleRow:
        """Return a role; raises `NotFoundError`."""
        row = await self._store.get(ROLES, canonical_name(name, "name"))
        if row is None:
            raise NotFoundError("role_not_found", "no such role")
        return row

    async def list_roles(self) -> list[RoleRow]:
        """Return all roles by name."""
        return await self._store.select_all(ROLES)

    async def delete(self, caller: Identity, name: str) -> None:
        """Delete a role; its users lose its policies at their next request.

        Raises `NotFoundError`, and `AuthorizationError` as `put`.
        """
        name = canonical_name(name, "name")

        def change(tx: StoreTx) -> None:
            row = tx.get(ROLES, name)
            if row is None:
                raise NotFoundError("role_not_found", "no such role")
            require_authority_over_role(tx.get, caller, row.policies, None)
            tx.delete(ROLES, name)

        await self._store.commit(change)


def normalized_policy_names(names: Iterable[str], field: str = "policies") -> list[str]:
    """Return names of policies in their one spelling, sorted; raises `ValidationError`."""
    given = list(names)
    if len(given) > MAX_POLICIES:
        raise ValidationError(
            "policies_invalid", f"{field} holds more than {MAX_POLICIES} names", field=field
        )
    return sorted({canonical_name(name, f"{field}[{i}]") for i, name in enumerate(given)})
