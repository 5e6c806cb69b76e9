"""Users: the people and machines that keys and tokens belong to."""

from dataclasses import dataclass

from vault import operations
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.errors import NotFoundError, ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import MAX_PAGE_SIZE, CreateUser, ListUsers, Nothing, UpdateUser
from vault.model.records import UserRow
from vault.model.results import UserWritten


@dataclass(frozen=True)
class UserHandlers:
    """The handlers of `user.*`; a user's id is the end of the path."""

    users: Users
    authorizer: Authorizer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_USERS,
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
            Handler(
                operations.READ_USER,
                run=self.read,
                capability=Capability.READ,
                audit_response=_audit_response,
            ),
            Handler(
                operations.CREATE_USER,
                run=self.create,
                capability=Capability.CREATE,
                mutates=True,
                audit_response=_audit_written,
            ),
            Handler(
                operations.UPDATE_USER,
                run=self.update,
                capability=Capability.UPDATE,
                mutates=True,
                audit_response=_audit_written,
            ),
            Handler(
                operations.DELETE_USER, run=self.delete, capability=Capability.DELETE, mutates=True
            ),
        )

    async def list(self, call: Call[ListUsers]) -> list[UserRow]:
        """A page of users by id, or the one of a name (none, where there is none)."""
        payload = call.payload
        if not 1 <= payload.limit <= MAX_PAGE_SIZE:
            raise ValidationError(
                "limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit"
            )
        if not payload.username:
            return await self.users.list_page(after=payload.after, limit=payload.limit)
        try:
            return [await self.users.find_by_name(payload.username)]
        except NotFoundError:
            return []

    async def read(self, call: Call[Nothing]) -> UserRow:
        """One user."""
        return await self.users.get(call.name)

    async def create(self, call: Call[CreateUser]) -> UserWritten:
        """A new user. Raises as `Users.create`."""
        payload = call.payload
        user = await self.users.create(
            call.identity,
            payload.username,
            email=payload.email,
            roles=payload.roles,
            policies=payload.policies,
        )
        return await self._with_warnings(user)

    async def update(self, call: Call[UpdateUser]) -> UserWritten:
        """Change what the payload names. Raises as `Users.update`."""
        payload = call.payload
        user = await self.users.update(
            call.identity,
            call.name,
            email=payload.email,
            roles=payload.roles,
            policies=payload.policies,
            status=payload.status,
        )
        return await self._with_warnings(user)

    async def delete(self, call: Call[Nothing]) -> None:
        """Delete a user with their keys and tokens."""
        await self.users.delete(call.identity, call.name)

    async def _with_warnings(self, user: UserRow) -> UserWritten:
        """The user, with a warning for each assigned role or policy that does not exist."""
        policies, gone = list(user.policies), []
        for name, role in (await self.users.roles_of(user)).items():
            if role is None:
                gone.append(f'Role "{name}" does not exist')
            else:
                policies += role.policies
        warnings = self.authorizer.unknown_policy_warnings(dict.fromkeys(policies))
        return UserWritten(user=user, warnings=(*gone, *warnings))


def _audit_response(row: UserRow) -> object:
    """What the audit record tells of the answer."""
    return {"id": row.id, "username": row.username, "roles": row.roles, "policies": row.policies}


def _audit_written(written: UserWritten) -> object:
    return _audit_response(written.user)
