"""`/api/v1/keys`: API keys of users."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from protocols.instant import parse_rfc3339, rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.api_keys import ApiKey
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.identity import Permission
from vault.model.payloads import CreateApiKey, ListApiKeys, Nothing

keys = Endpoints("keys", "API keys of users. A key is shown once, when it is made.")


class KeyBody(Struct, frozen=True, kw_only=True):
    """An API key. `key` is what its holder presents, and only in the answer that makes it."""

    id: str
    user_id: str
    name: str
    permissions: tuple[Permission, ...]
    status: str
    expires_at: str | None
    created_at: str
    created_by: str
    last_used: str | None
    uses: int
    key: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET

    @classmethod
    def of(cls, found: ApiKey, **more: Any) -> "KeyBody":
        """From what may be shown of a key; `more` are fields that only a new one's answer has."""
        return cls(
            id=found.id,
            user_id=found.user_id,
            name=found.name,
            permissions=found.permissions,
            status=found.status,
            expires_at=rfc3339_or_none(found.expires_at),
            created_at=rfc3339(found.created_at),
            created_by=found.created_by,
            last_used=rfc3339_or_none(found.last_used),
            uses=found.uses,
            **more,
        )


class KeyList(Struct, frozen=True):
    """The keys of one user, revoked ones too."""

    keys: list[KeyBody]


class KeyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose: the name of a user."""

    user: str


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key for the user of this name. `permissions` cut it down below what he may do."""

    user: str
    name: str
    permissions: list[Permission] = []
    expires_at: str | None = None


@keys.add("GET", "keys", "List a user's keys", query=KeyQuery, returns=KeyList, errors=(404,))
async def list_(dialect: Dialect, request: Request, *, query: KeyQuery) -> KeyList:
    found = await dialect.run_operation(
        request, operations.LIST_API_KEYS, system_folder("keys"), ListApiKeys(user=query.user)
    )
    return KeyList(keys=[KeyBody.of(key) for key in found])


@keys.add(
    "POST",
    "keys",
    "Make a key; its text is shown now and never again",
    body=NewKey,
    returns=KeyBody,
    status=201,
    errors=(404, 409),
)
async def create(dialect: Dialect, request: Request, *, body: NewKey) -> KeyBody:
    payload = CreateApiKey(
        user=body.user,
        name=body.name,
        permissions=body.permissions,
        expires_at=parse_rfc3339(body.expires_at, "expires_at") if body.expires_at else 0,
    )
    made = await dialect.run_operation(
        request, operations.CREATE_API_KEY, system_folder("keys"), payload
    )
    return KeyBody.of(made.key, key=made.text, warnings=list(made.warnings))


@keys.add("GET", "keys/{id}", "Read what may be shown of a key", returns=KeyBody)
async def read(dialect: Dialect, request: Request, key_id: str) -> KeyBody:
    path = system_path("keys", key_id)
    return KeyBody.of(
        await dialect.run_operation(request, operations.READ_API_KEY, path, Nothing())
    )


@keys.add(
    "DELETE",
    "keys/{id}",
    "Revoke a key: its next request is refused, its streams are cut",
    status=204,
)
async def revoke(dialect: Dialect, request: Request, key_id: str) -> None:
    await dialect.run_operation(
        request, operations.REVOKE_API_KEY, system_path("keys", key_id), Nothing()
    )
