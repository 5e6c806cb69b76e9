"""Roles: named sets of policies, given to users."""

from dataclasses import dataclass

from vault import operations
from vault.authn.roles import Roles
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import Nothing, WriteRole
from vault.model.records import RoleRow
from vault.model.results import RoleWritten


@dataclass(frozen=True)
class RoleHandlers:
    """The handlers of `role.*`."""

    roles: Roles
    authorizer: Authorizer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_ROLES,
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
            Handler(operations.READ_ROLE, run=self.read, capability=Capability.READ),
            Handler(
                operations.WRITE_ROLE, run=self.write, capability=Capability.UPDATE, mutates=True
            ),
            Handler(
                operations.DELETE_ROLE, run=self.delete, capability=Capability.DELETE, mutates=True
            ),
        )

    async def list(self, _: Call[Nothing]) -> list[RoleRow]:
        """All roles by name."""
        return await self.roles.list_roles()

    async def read(self, call: Call[Nothing]) -> RoleRow:
        """One role."""
        return await self.roles.get(call.canonical_name)

    async def write(self, call: Call[WriteRole]) -> RoleWritten:
        """Make or replace a role; it counts when this returns. Raises as `Roles.put`."""
        payload = call.payload
        role = await self.roles.put(
            call.identity,
            call.canonical_name,
            policies=payload.policies,
            description=payload.description,
        )
        return RoleWritten(
            role=role, warnings=self.authorizer.unknown_policy_warnings(role.policies)
        )

    async def delete(self, call: Call[Nothing]) -> None:
        """Delete a role."""
        await self.roles.delete(call.identity, call.canonical_name)
