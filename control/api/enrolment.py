"""How agents get in: tokens that people hand out, and requests that people decide."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api.endpoint import CREATED, NO_CONTENT, Call, Endpoints
from control.ca.joining import fingerprint
from control.ca.ledger import Join, Token
from control.ca.office import Office
from control.errors import NotFoundError, UnavailableError
from control.model.names import Limit, Slug, legible
from control.model.people import Role
from protocols.instant import rfc3339

tokens = Endpoints("enrolment", "Tokens that let an agent in, once.")
joins = Endpoints("joins", "Agents that ask to join, and wait for a person.")

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
    """A new token: its text is shown this once. `pin` is what the agent must find at the desk.

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


@tokens.add(
    "POST", _TOKENS, "A token that lets one agent in, good for ten minutes", role=Role.OPERATOR,
    fresh=True, body=NewToken, status=CREATED, returns=Minted, errors=(409, 429),
)  # fmt: skip
async def create(call: Call, org: str, *, body: NewToken) -> Minted:
    made = await _office(call).enrolment.create(
        org, body.vault, call.caller.actor, replace_agent=body.replace
    )
    return Minted(made.text, made.pin, call.plane.link_url, _token(made.record))


@tokens.add("GET", _TOKENS, "Tokens, the newest first", returns=list[EnrolmentTokenView])
async def list_(call: Call, org: str) -> list[EnrolmentTokenView]:
    return [_token(row) for row in await _office(call).enrolment.list(org)]


@tokens.add(
    "DELETE", _TOKENS + "/{ticket}", "Make a token worthless", role=Role.OPERATOR, fresh=False,
    status=NO_CONTENT,
)  # fmt: skip
async def withdraw(call: Call, org: str, ticket: str) -> None:
    await _office(call).enrolment.withdraw(org, ticket)


@joins.add("GET", _JOINS, "Who waits, the oldest first", query=Page, returns=list[JoinView])
async def pending(call: Call, org: str, *, query: Page) -> list[JoinView]:
    found = list(await _office(call).joining.pending(org, query.limit))
    if call.caller.is_platform:  # who named no organization is for the platform to place
        found += await _office(call).joining.pending("", query.limit)
    return [_join(row) for row in found[: query.limit]]


@joins.add(
    "POST", _JOINS + "/{join}/approve", "Let it in", role=Role.OPERATOR, fresh=True, body=Decision,
    returns=JoinView, errors=(409,),
)  # fmt: skip
async def approve(call: Call, org: str, join: str, *, body: Decision) -> JoinView:
    await _visible(call, org, join)
    approved = await _office(call).joining.approve(
        join,
        body.fingerprint,
        org=org,
        vault=body.vault,
        by=call.caller.actor,
        replace_agent=body.replace,
    )
    return _join(approved)


@joins.add(
    "POST", _JOINS + "/{join}/refuse", "Turn it away", role=Role.OPERATOR, fresh=False,
    returns=JoinView, errors=(409,),
)  # fmt: skip
async def refuse(call: Call, org: str, join: str) -> JoinView:
    await _visible(call, org, join)
    return _join(await _office(call).joining.refuse(join, call.caller.actor))


async def _visible(call: Call, org: str, join_id: str) -> None:
    """Return if the caller may decide it here; another organization's is not found."""
    found = await _office(call).joining.find(join_id)
    if found.org != org and not (call.caller.is_platform and not found.org):
        raise NotFoundError("not_found", "there is no such request")


def _office(call: Call) -> Office:
    if call.plane.office is None:
        raise UnavailableError(
            "link_disabled", "no agent can come: control.yaml has no section `link`"
        )
    return call.plane.office


def _token(row: Token) -> EnrolmentTokenView:
    return EnrolmentTokenView(
        id=row.id,
        vault=row.name.vault,
        replace=row.replace,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339(row.expires_at),
        used_at=None if row.used_at is None else rfc3339(row.used_at),
    )


def _join(row: Join) -> JoinView:
    return JoinView(
        id=row.id,
        fingerprint=fingerprint(row),
        label=legible(row.label),
        source=row.source,
        state=str(row.state),
        vault=row.name.vault if row.name is not None else None,
        requested_at=rfc3339(row.requested_at),
        expires_at=rfc3339(row.expires_at),
    )
