"""Roles: named sets of policies, given to users."""

from dataclasses import dataclass

from vault.authn.roles import Roles
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability
from vault.model.payloads import WriteRole
from vault.model.records import RoleRow
from vault.model.results import RoleWritten


@dataclass(frozen=True)
class RoleHandlers:
    """The handlers of `role.*`."""

    roles: Roles
    authorizer: Authorizer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "role.list": Handler(
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
            "role.read": Handler(run=self.read, capability=Capability.READ),
            "role.write": Handler(run=self.write, capability=Capability.UPDATE, mutates=True),
            "role.delete": Handler(run=self.delete, capability=Capability.DELETE, mutates=True),
        }

    async def list(self, _: Call) -> list[RoleRow]:
        """All roles by name."""
        return await self.roles.list_roles()

    async def read(self, call: Call) -> RoleRow:
        """One role."""
        return await self.roles.get(call.canonical_name)

    async def write(self, call: Call) -> RoleWritten:
        """Make or replace a role; it counts when this returns. Raises as `Roles.put`."""
        payload: WriteRole = call.payload
        role = await self.roles.put(
            call.identity,
            call.canonical_name,
            policies=payload.policies,
            description=payload.description,
        )
        return RoleWritten(
            role=role, warnings=self.authorizer.unknown_policy_warnings(role.policies)
        )

    async def delete(self, call: Call) -> None:
        """Delete a role."""
        await self.roles.delete(call.identity, call.canonical_name)
