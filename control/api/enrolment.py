"""How agents get in: tokens that people hand out, and requests that people decide."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api.endpoint import CREATED, NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import EnrolmentServices
from control.ca.certificate_authority import CertificateAuthority
from control.ca.join_requests import join_fingerprint
from control.ca.store import EnrolmentToken, JoinRecord
from control.errors import NotFoundError, UnavailableError
from control.model.names import Limit, Slug, printable
from control.model.people import Role
from protocols.instant import rfc3339

Call = EndpointCall[EnrolmentServices]

tokens = EndpointGroup[EnrolmentServices]("enrolment", "Tokens that let an agent in, once.")
joins = EndpointGroup[EnrolmentServices]("joins", "Agents that ask to join, and wait for a person.")

_TOKENS = "organizations/{org}/enrolment-tokens"
_JOINS = "organizations/{org}/joins"


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """For which agent. `replace`: it may take over the name of one that exists."""

    vault: Slug
    replace: bool = False


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 100


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """Let it in under this name; `fingerprint` is what the agent shows, compared by a person."""

    fingerprint: Annotated[str, Meta(pattern="^[0-9a-f]{4}(-[0-9a-f]{4}){4}$", max_length=24)]
    vault: Slug
    replace: bool = False


class EnrolmentTokenView(Struct, frozen=True):
    """A token, without its text."""

    id: str
    vault: str
    replace: bool
    created_by: str
    created_at: str
    expires_at: str
    used_at: str | None


class Minted(Struct, frozen=True):
    """A new token: its text is shown this once. `pin`: what the agent must find at the server.

    `control` is where it has to come; empty if only the kernel knows the port.
    """

    secret: str
    pin: str
    control: str
    token: EnrolmentTokenView


class JoinView(Struct, frozen=True):
    """An agent that asks. `label` and `source` are what it says and where it came from."""

    id: str
    fingerprint: str
    label: str
    source: str
    state: str
    vault: str | None
    requested_at: str
    expires_at: str


@tokens.route(
    "POST",
    _TOKENS,
    "A token that lets one agent in, good for ten minutes",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    status=CREATED,
    errors=(409, 429),
)
async def create(call: Call, org: str, *, body: NewToken) -> Minted:
    made = await _require_ca(call).enrolment.create_token(
        org, body.vault, call.caller.actor, replace_agent=body.replace
    )
    return Minted(made.text, made.pin, call.services.link_url, _token_view(made.record))


@tokens.route("GET", _TOKENS, "Tokens, the newest first")
async def list_(call: Call, org: str) -> list[EnrolmentTokenView]:
    return [_token_view(row) for row in await _require_ca(call).enrolment.list_tokens(org)]


@tokens.route(
    "DELETE",
    _TOKENS + "/{ticket}",
    "Make a token worthless",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    status=NO_CONTENT,
)
async def withdraw(call: Call, org: str, ticket: str) -> None:
    await _require_ca(call).enrolment.withdraw_token(org, ticket)


@joins.route("GET", _JOINS, "Who waits, the oldest first")
async def pending(call: Call, org: str, *, query: Page) -> list[JoinView]:
    found = list(await _require_ca(call).join_requests.list_pending(org, query.limit))
    if call.caller.is_platform:  # who named no organization is for the platform to place
        found += await _require_ca(call).join_requests.list_pending("", query.limit)
    return [_join_view(row) for row in found[: query.limit]]


@joins.route(
    "POST",
    _JOINS + "/{join}/approve",
    "Let it in",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    errors=(409,),
)
async def approve(call: Call, org: str, join: str, *, body: Decision) -> JoinView:
    await _require_visible(call, org, join)
    approved = await _require_ca(call).join_requests.approve_request(
        join,
        body.fingerprint,
        org=org,
        vault=body.vault,
        by=call.caller.actor,
        replace_agent=body.replace,
    )
    return _join_view(approved)


@joins.route(
    "POST",
    _JOINS + "/{join}/refuse",
    "Turn it away",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    errors=(409,),
)
async def refuse(call: Call, org: str, join: str) -> JoinView:
    await _require_visible(call, org, join)
    return _join_view(await _require_ca(call).join_requests.refuse_request(join, call.caller.actor))


async def _require_visible(call: Call, org: str, join_id: str) -> None:
    """Return if the caller may decide it here; another organization's is not found."""
    found = await _require_ca(call).join_requests.get_request(join_id)
    if found.org != org and not (call.caller.is_platform and not found.org):
        raise NotFoundError("not_found", "there is no such request")


def _require_ca(call: Call) -> CertificateAuthority:
    if call.services.ca is None:
        raise UnavailableError(
            "link_disabled", "agents cannot connect: add the section `link` to control.yaml"
        )
    return call.services.ca


def _token_view(row: EnrolmentToken) -> EnrolmentTokenView:
    return EnrolmentTokenView(
        id=row.id,
        vault=row.name.vault,
        replace=row.replace,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339(row.expires_at),
        used_at=None if row.used_at is None else rfc3339(row.used_at),
    )


def _join_view(row: JoinRecord) -> JoinView:
    return JoinView(
        id=row.id,
        fingerprint=join_fingerprint(row),
        label=printable(row.label),
        source=row.source,
        state=str(row.state),
        vault=row.name.vault if row.name is not None else None,
        requested_at=rfc3339(row.requested_at),
        expires_at=rfc3339(row.expires_at),
    )
