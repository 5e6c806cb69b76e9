"""API keys: made for a user (the text is shown once), listed, revoked."""

from dataclasses import dataclass, field

import trio
from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.authn.api_keys import ApiKey, ApiKeys, CreatedKey
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.policy import validate_permissions
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import CreateApiKey, ListApiKeys, Nothing


@dataclass(frozen=True)
class ApiKeyHandlers:
    """The handlers of `key.*`; a key's id is the end of the path."""

    keys: ApiKeys
    users: Users
    authorizer: Authorizer
    world: World
    _validating: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_API_KEYS,
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda keys: {"count": len(keys)},
            ),
            Handler(operations.READ_API_KEY, run=self.read, capability=Capability.READ),
            Handler(
                operations.CREATE_API_KEY,
                run=self.create,
                capability=Capability.CREATE,
                mutates=True,
                audit_response=lambda created: {
                    "id": created.key.id,
                    "user_id": created.key.user_id,
                },
            ),
            Handler(
                operations.REVOKE_API_KEY,
                run=self.revoke,
                capability=Capability.DELETE,
                mutates=True,
            ),
        )

    async def list(self, call: Call[ListApiKeys]) -> list[ApiKey]:
        """The keys of a user with their last use, revoked ones too."""
        payload = call.payload
        user = await self.users.find_by_name(payload.user)
        return await self.keys.list_for_user(user.id)

    async def read(self, call: Call[Nothing]) -> ApiKey:
        """One key, without what could be presented."""
        return await self.keys.get(call.name)

    async def create(self, call: Call[CreateApiKey]) -> CreatedKey:
        """A new key and its text, which is never shown again. Raises as `ApiKeys.create`."""
        payload = call.payload
        permissions = await self.world.run_sync(
            validate_permissions, payload.permissions, limiter=self._validating
        )
        user = await self.users.find_by_name(payload.user)
        made = await self.keys.create(
            call.identity,
            user.id,
            payload.name,
            permissions=permissions,
            expires_at=payload.expires_at,
        )
        return replace(made, warnings=self.authorizer.unknown_policy_warnings(made.policies))

    async def revoke(self, call: Call[Nothing]) -> None:
        """End a key, the tokens that came from it, and their streams."""
        await self.keys.revoke(call.identity, call.name)
