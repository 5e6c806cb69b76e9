"""Invitations: made by an admin, used by whoever has the link."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import CREATED, NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import InvitationServices
from control.api.sessions import Opened, Password, login_response, session_request_of
from control.model.identity import Invitation, invitation_url
from control.model.names import Slug
from control.model.people import Role
from protocols.instant import rfc3339, rfc3339_or_none

Call = EndpointCall[InvitationServices]

invitations = EndpointGroup[InvitationServices](
    "invitations", "Becoming a member of an organization.", allows_api_tokens=False
)

_ALL = "organizations/{org}/invitations"
Link = Annotated[str, Meta(max_length=64)]


class NewInvitation(Struct, frozen=True, forbid_unknown_fields=True):
    """For whom, and as what."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    role: Role


class InvitationView(Struct, frozen=True):
    """An invitation, without its link."""

    id: str
    email: str
    role: Role
    created_by: str
    created_at: str
    expires_at: str
    used_at: str | None
    used_by: str


class Invited(Struct, frozen=True):
    """A new invitation. `link` is shown this once; whoever has it can use it.

    `mailed`: whether it goes by mail, too.
    """

    link: str
    invitation: InvitationView
    mailed: bool


class Held(Struct, frozen=True, forbid_unknown_fields=True):
    """What a link ends with."""

    secret: Link


class Accepted(Struct, frozen=True, forbid_unknown_fields=True):
    """A new account for whoever has the link."""

    secret: Link
    name: Slug
    password: Password


class Shown(Struct, frozen=True):
    """What a link is for."""

    organization: str
    title: str
    email: str
    role: Role
    expires_at: str


@invitations.route(
    "POST",
    _ALL,
    "Invite somebody; a link, good once, for a week",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=CREATED,
    errors=(409,),
)
async def create(call: Call, org: str, *, body: NewInvitation) -> Invited:
    mail = call.services.mailer.can_mail
    secret, made = await call.services.invitations.create_invitation(
        call.caller, org, body.email, body.role, mail=mail
    )
    return Invited(invitation_url(call.context.own_origin, secret), _view(made), mail)


@invitations.route(
    "GET", _ALL, "Invitations, the newest first", role=Role.ADMIN, allows_api_tokens=True
)
async def list_(call: Call, org: str) -> list[InvitationView]:
    return [_view(row) for row in await call.services.invitations.list_invitations(org)]


@invitations.route(
    "DELETE",
    _ALL + "/{invitation}",
    "End one that nobody has used",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=NO_CONTENT,
)
async def revoke(call: Call, org: str, invitation: str) -> None:
    await call.services.invitations.revoke_invitation(call.caller, org, invitation)


@invitations.route(
    "POST",
    "invitations/look",
    "What a link is for",
    public=True,
    mutates=False,
    errors=(404, 429, 503),
)
async def look(call: Call, *, body: Held) -> Shown:
    row = await call.services.invitations.get_details(body.secret)
    return Shown(row.organization, row.title, row.email, row.role, rfc3339(row.expires_at))


@invitations.route(
    "POST",
    "invitations/accept",
    "A new account by a link; one is signed in",
    public=True,
    hashes_password=True,
    unrecorded=("secret", "password"),
    errors=(401, 403, 404, 409, 429, 503),
)
async def accept(call: Call, *, body: Accepted) -> Opened:
    way = session_request_of(call)
    made = await call.services.invitations.accept_invitation(
        body.secret, body.name, body.password, way
    )
    return await login_response(call, call.services.sessions, *made)


@invitations.route(
    "POST",
    "invitations/join",
    "The account that one has becomes a member too",
    any_authenticated=True,
    requires_recent_auth=False,
    unrecorded=("secret",),
    errors=(404, 409),
)
async def join(call: Call, *, body: Held) -> views.MemberView:
    return views.member_view(
        await call.services.invitations.join_organization(call.caller, body.secret)
    )


def _view(row: Invitation) -> InvitationView:
    return InvitationView(
        id=row.id,
        email=row.email,
        role=row.role,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339(row.expires_at),
        used_at=rfc3339_or_none(row.used_at),
        used_by=row.used_by,
    )
