"""Second factors: at sign-in, one's own, and taken from somebody who lost it."""

from msgspec import Struct

from control.api.endpoint import NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import PeopleServices
from control.api.sessions import Challenge, Code, Opened, login_response, session_request_of
from control.authn.second_factors import Enrolment, Standing
from control.authn.session_opener import ENROLMENT, SECOND_FACTOR
from control.model.people import Role

Call = EndpointCall[PeopleServices]

factors = EndpointGroup[PeopleServices](
    "second-factors", "Codes of an authenticator, beside the password.", allows_api_tokens=False
)


class Answered(Struct, frozen=True, forbid_unknown_fields=True):
    """The second step of a login.

    `challenge` is from the first; a browser that comes from an identity provider leaves it out.
    """

    code: Code
    challenge: Challenge = ""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A login that has to set up a second factor first."""

    challenge: Challenge = ""


class Typed(Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the authenticator."""

    code: Code


class RecoveryCodes(Struct, frozen=True):
    """Shown this once; each is good once, in place of a code."""

    recovery_codes: list[str]


class SetUp(Struct, frozen=True):
    """The session, as `Opened` says it, and the recovery codes, shown this once."""

    session: Opened
    recovery_codes: list[str]


@factors.route(
    "POST",
    "second-factor/answer",
    "The second step: a code, or a recovery code",
    public=True,
    unrecorded=("challenge", "code"),
    errors=(401, 403, 429, 503),
)
async def answer(call: Call, *, body: Answered) -> Opened:
    way = session_request_of(call)
    call.resolved.caller = await call.services.second_factors.find_half_session(
        body.challenge, SECOND_FACTOR
    )
    secret, token = await call.services.second_factors.complete_login(
        body.challenge, body.code, way
    )
    return await login_response(call, call.services.sessions, secret, token)


@factors.route(
    "POST",
    "second-factor/enrolment",
    "Set up the second factor that one's organization wants",
    public=True,
    unrecorded=("challenge",),
    errors=(401, 403, 409, 429, 503),
)
async def enrol(call: Call, *, body: Asked) -> Enrolment:
    session_request_of(call)
    who = await call.services.second_factors.find_half_session(body.challenge, ENROLMENT)
    call.resolved.caller = who
    return await call.services.second_factors.begin_enrolment(who.org, who.name)


@factors.route(
    "POST",
    "second-factor/enrolment/confirm",
    "Its first code: one is signed in",
    public=True,
    unrecorded=("challenge", "code"),
    errors=(401, 403, 409, 429, 503),
)
async def enrolled(call: Call, *, body: Answered) -> SetUp:
    way = session_request_of(call)
    call.resolved.caller = await call.services.second_factors.find_half_session(
        body.challenge, ENROLMENT
    )
    secret, token, codes = await call.services.second_factors.complete_enrolment(
        body.challenge, body.code, way
    )
    return SetUp(await login_response(call, call.services.sessions, secret, token), codes)


@factors.route("GET", "second-factor", "One's own", any_authenticated=True, allows_api_tokens=True)
async def standing(call: Call) -> Standing:
    return await call.services.second_factors.factor_status(call.caller)


@factors.route(
    "POST",
    "second-factor",
    "Begin to set one up; not in force before its first code",
    any_authenticated=True,
    requires_recent_auth=True,
    errors=(409,),
)
async def begin(call: Call) -> Enrolment:
    return await call.services.second_factors.begin_enrolment(*call.caller.account)


@factors.route(
    "POST",
    "second-factor/confirm",
    "Its first code puts it in force",
    any_authenticated=True,
    requires_recent_auth=True,
    unrecorded=("code",),
    errors=(409,),
)
async def confirm(call: Call, *, body: Typed) -> RecoveryCodes:
    codes = await call.services.second_factors.confirm_enrolment(*call.caller.account, body.code)
    await call.services.sessions.record_proof(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.route(
    "POST",
    "second-factor/recovery-codes",
    "New recovery codes; the old ones end",
    any_authenticated=True,
    requires_recent_auth=True,
    errors=(409,),
)
async def renew(call: Call) -> RecoveryCodes:
    return RecoveryCodes(await call.services.second_factors.renew_recovery_codes(call.caller))


@factors.route(
    "POST",
    "second-factor/replacement",
    "Begin with another authenticator: a code of the one in force, or a recovery code",
    any_authenticated=True,
    requires_recent_auth=False,
    unrecorded=("code",),
    errors=(409,),
)
async def replace(call: Call, *, body: Typed) -> Enrolment:
    return await call.services.factor_replacement.begin_replacement(call.caller, body.code)


@factors.route(
    "POST",
    "second-factor/replacement/confirm",
    "Its first code puts it in the other's place; one's other sessions end",
    any_authenticated=True,
    requires_recent_auth=False,
    unrecorded=("code",),
    errors=(409,),
)
async def replaced(call: Call, *, body: Typed) -> RecoveryCodes:
    codes = await call.services.factor_replacement.confirm_replacement(call.caller, body.code)
    await call.services.sessions.record_proof(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.route(
    "DELETE",
    "second-factor",
    "Take away one's own",
    any_authenticated=True,
    requires_recent_auth=True,
    status=NO_CONTENT,
    errors=(404, 409),
)
async def remove(call: Call) -> None:
    await call.services.second_factors.remove_own(call.caller)


@factors.route(
    "DELETE",
    "organizations/{org}/users/{user}/second-factor",
    "Take it from somebody who lost it; all credentials of theirs end",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=NO_CONTENT,
)
async def reset(call: Call, org: str, user: str) -> None:
    await call.services.second_factors.reset_factor(call.caller, org, user)
