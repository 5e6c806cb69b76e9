"""Organizations, users, API tokens."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from control.api import views
from control.api.endpoint import CREATED, NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import PeopleServices
from control.api.sessions import Password
from control.model.names import LINE, Limit, Prose, Slug
from control.model.people import Role, User

Call = EndpointCall[PeopleServices]

organizations = EndpointGroup[PeopleServices](
    "organizations", "Tenants; for the platform's super-admins.", allows_api_tokens=False
)
members = EndpointGroup[PeopleServices](
    "members", "People of other organizations who are members here too.", allows_api_tokens=False
)
users = EndpointGroup[PeopleServices](
    "users", "The people of an organization.", allows_api_tokens=False
)
tokens = EndpointGroup[PeopleServices](
    "tokens", "Credentials of people and programs.", allows_api_tokens=False
)


class After(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of a list in the order of names."""

    after: Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")] = ""
    limit: Limit = 100


class NewOrganization(Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to be."""

    id: Slug
    title: Prose = ""


class OrganizationChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different. `second_factor`: whether everybody has to have one."""

    title: Prose | UnsetType = UNSET
    second_factor: bool | UnsetType = UNSET


class MemberChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different."""

    role: Role


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A person to be."""

    name: Slug
    role: Role
    password: Password


class UserChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different."""

    role: Role | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class NewPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """A password to be."""

    password: Password


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be; `ttl` in seconds."""

    role: Role
    ttl: Annotated[int, Meta(ge=1, le=366 * 86_400)]
    label: Annotated[str, Meta(max_length=256, pattern=LINE)] = ""


@organizations.route("GET", "organizations", "Organizations by id", allows_api_tokens=True)
async def list_(call: Call, *, query: After) -> list[views.OrganizationView]:
    found = await call.services.users.list_organizations(query.after, query.limit)
    return [views.organization_view(row) for row in found]


@organizations.route(
    "POST",
    "organizations",
    "A new organization",
    requires_recent_auth=True,
    status=CREATED,
    errors=(409,),
)
async def create(call: Call, *, body: NewOrganization) -> views.OrganizationView:
    made = await call.services.users.create_organization(body.id, body.title)
    return views.organization_view(made)


@organizations.route("GET", "organizations/{org}", "One organization", allows_api_tokens=True)
async def get(call: Call, org: str) -> views.OrganizationView:
    return views.organization_view(await call.services.users.get_organization(org))


@organizations.route(
    "PATCH",
    "organizations/{org}",
    "Another title, or whether all must have a second factor",
    role=Role.OWNER,
    requires_recent_auth=True,
)
async def change(call: Call, org: str, *, body: OrganizationChange) -> views.OrganizationView:
    changed = await call.services.users.change_organization(
        org,
        title=None if body.title is UNSET else body.title,
        second_factor=None if body.second_factor is UNSET else body.second_factor,
    )
    return views.organization_view(changed)


@members.route(
    "GET",
    "organizations/{org}/members",
    "Members whose account is of another organization",
    allows_api_tokens=True,
)
async def guests(call: Call, org: str) -> list[views.MemberView]:
    return [views.member_view(row) for row in await call.services.members.list_guests(org)]


@members.route(
    "PATCH",
    "organizations/{org}/members/{home}/{user}",
    "Another role; their sessions here end",
    role=Role.ADMIN,
    requires_recent_auth=True,
)
async def change_guest(
    call: Call, org: str, home: str, user: str, *, body: MemberChange
) -> views.MemberView:
    return views.member_view(
        await call.services.members.change_guest_role(call.caller, org, home, user, body.role)
    )


@members.route(
    "DELETE",
    "organizations/{org}/members/{home}/{user}",
    "End the membership, not the account",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=NO_CONTENT,
)
async def remove_guest(call: Call, org: str, home: str, user: str) -> None:
    await call.services.members.remove_guest(call.caller, org, home, user)


@users.route("GET", "organizations/{org}/users", "Users by name", allows_api_tokens=True)
async def list_users(call: Call, org: str, *, query: After) -> list[views.UserView]:
    found = await call.services.users.list_users(org, query.after, query.limit)
    holders = await call.services.second_factors.active_holders(org, [row.name for row in found])
    return [views.user_view(row, second_factor=row.name in holders) for row in found]


@users.route(
    "POST",
    "organizations/{org}/users",
    "A new user",
    role=Role.ADMIN,
    requires_recent_auth=True,
    hashes_password=True,
    unrecorded=("password",),
    status=CREATED,
    errors=(409,),
)
async def create_user(call: Call, org: str, *, body: NewUser) -> views.UserView:
    made = await call.services.users.create_user(
        call.caller, org, body.name, body.role, body.password
    )
    return views.user_view(made, second_factor=False)


@users.route("GET", "organizations/{org}/users/{user}", "One user", allows_api_tokens=True)
async def get_user(call: Call, org: str, user: str) -> views.UserView:
    return await _user(call, await call.services.users.get_user(org, user))


@users.route(
    "PATCH",
    "organizations/{org}/users/{user}",
    "Another role, or the right to sign in",
    role=Role.ADMIN,
    requires_recent_auth=True,
    errors=(409,),
)
async def change_user(call: Call, org: str, user: str, *, body: UserChange) -> views.UserView:
    changed = await call.services.users.change_user(
        call.caller,
        org,
        user,
        role=None if body.role is UNSET else body.role,
        disabled=None if body.disabled is UNSET else body.disabled,
    )
    return await _user(call, changed)


@users.route(
    "PUT",
    "organizations/{org}/users/{user}/password",
    "Another password; all credentials of the user end",
    role=Role.ADMIN,
    requires_recent_auth=True,
    hashes_password=True,
    unrecorded=("password",),
    status=NO_CONTENT,
)
async def set_password(call: Call, org: str, user: str, *, body: NewPassword) -> None:
    await call.services.users.set_password(call.caller, org, user, body.password)


@users.route(
    "DELETE",
    "organizations/{org}/users/{user}",
    "Remove the user with all credentials",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=NO_CONTENT,
    errors=(409,),
)
async def delete_user(call: Call, org: str, user: str) -> None:
    await call.services.users.delete_user(call.caller, org, user)


@tokens.route(
    "GET",
    "organizations/{org}/tokens",
    "One's own tokens; as an admin, everybody's",
    allows_api_tokens=True,
)
async def list_tokens(call: Call, org: str) -> list[views.TokenView]:
    return [
        views.token_view(row) for row in await call.services.accounts.list_tokens(call.caller, org)
    ]


@tokens.route(
    "POST",
    "tokens",
    "A new API token of one's own",
    any_authenticated=True,
    requires_recent_auth=True,
    status=CREATED,
)
async def create_token(call: Call, *, body: NewToken) -> views.Secret:
    accounts = call.services.accounts
    secret, token = await accounts.create_token(call.caller, body.label, body.role, body.ttl)
    return views.Secret(secret, views.token_view(token))


@tokens.route(
    "DELETE",
    "organizations/{org}/tokens/{token}",
    "End a token",
    requires_recent_auth=False,
    status=NO_CONTENT,
)
async def revoke(call: Call, org: str, token: str) -> None:
    await call.services.accounts.revoke_token(call.caller, org, token)


async def _user(call: Call, row: User) -> views.UserView:
    holders = await call.services.second_factors.active_holders(row.org, [row.name])
    return views.user_view(row, second_factor=row.name in holders)
