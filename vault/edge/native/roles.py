"""`/api/v1/roles`: named sets of policies."""

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from protocols.instant import rfc3339
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.name import canonical_name
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, WriteRole
from vault.model.records import RoleRow
from vault.model.results import RoleWritten

roles = Endpoints("roles", "Named sets of policies, given to users.")


class RoleBody(Struct, frozen=True, kw_only=True):
    """A role."""

    name: str
    description: str
    policies: list[str]
    created_at: str
    updated_at: str
    warnings: list[str] | UnsetType = UNSET

    @classmethod
    def written(cls, written: RoleWritten) -> "RoleBody":
        """The answer to a change, with its warnings."""
        return replace(cls.of(written.role), warnings=list(written.warnings))

    @classmethod
    def of(cls, row: RoleRow) -> "RoleBody":
        """From the row."""
        return cls(
            name=row.name,
            description=row.description,
            policies=row.policies,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class RoleList(Struct, frozen=True):
    """All roles by name."""

    roles: list[RoleBody]


class RoleDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """What a role is to be."""

    policies: list[str]
    description: str = ""


@roles.add("GET", "roles", "List the roles", returns=RoleList)
async def list_(dialect: Dialect, request: Request) -> RoleList:
    found = await dialect.run_operation(
        request, operations.LIST_ROLES, system_folder("roles"), Nothing()
    )
    return RoleList(roles=[RoleBody.of(row) for row in found])


@roles.add("GET", "roles/{name}", "Read a role", returns=RoleBody)
async def read(dialect: Dialect, request: Request, name: str) -> RoleBody:
    return RoleBody.of(
        await dialect.run_operation(request, operations.READ_ROLE, _at(name), Nothing())
    )


@roles.add(
    "PUT",
    "roles/{name}",
    "Make or replace a role; it counts from the next request of its users on",
    body=RoleDocument,
    returns=RoleBody,
)
async def write(dialect: Dialect, request: Request, name: str, *, body: RoleDocument) -> RoleBody:
    payload = WriteRole(description=body.description, policies=tuple(body.policies))
    return RoleBody.written(
        await dialect.run_operation(request, operations.WRITE_ROLE, _at(name), payload)
    )


@roles.add("DELETE", "roles/{name}", "Delete a role", status=204)
async def delete(dialect: Dialect, request: Request, name: str) -> None:
    await dialect.run_operation(request, operations.DELETE_ROLE, _at(name), Nothing())


def _at(name: str) -> ResourcePath:
    return system_path("roles", canonical_name(name, "name"))
