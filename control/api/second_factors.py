"""Second factors: at sign-in, one's own, and taken from somebody who lost it."""

from msgspec import Struct

from control.api.endpoint import NO_CONTENT, EndpointCall, EndpointGroup
from control.api.sessions import Challenge, Code, Opened, login_response, session_request_of
from control.authn.second_factors import Enrolment, Standing
from control.authn.session_opener import ENROLMENT, SECOND_FACTOR
from control.model.people import Role

factors = EndpointGroup(
    "second-factors", "Codes of an authenticator, beside the password.", programs=False
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
    "POST", "second-factor/answer", "The second step: a code, or a recovery code", public=True,
    body=Answered, unrecorded=("challenge", "code"), returns=Opened, errors=(401, 403, 429, 503),
)  # fmt: skip
async def answer(call: EndpointCall, *, body: Answered) -> Opened:
    way = session_request_of(call)
    call.resolved.caller = await call.control_plane.second_factors.find_half_session(
        body.challenge, SECOND_FACTOR
    )
    secret, token = await call.control_plane.second_factors.complete_login(
        body.challenge, body.code, way
    )
    return await login_response(call, secret, token)


@factors.route(
    "POST", "second-factor/enrolment", "Set up the second factor that one's organization wants",
    public=True, body=Asked, unrecorded=("challenge",), returns=Enrolment,
    errors=(401, 403, 409, 429, 503),
)  # fmt: skip
async def enrol(call: EndpointCall, *, body: Asked) -> Enrolment:
    session_request_of(call)
    who = await call.control_plane.second_factors.find_half_session(body.challenge, ENROLMENT)
    call.resolved.caller = who
    return await call.control_plane.second_factors.begin_enrolment(who.org, who.name)


@factors.route(
    "POST", "second-factor/enrolment/confirm", "Its first code: one is signed in", public=True,
    body=Answered, unrecorded=("challenge", "code"), returns=SetUp,
    errors=(401, 403, 409, 429, 503),
)  # fmt: skip
async def enrolled(call: EndpointCall, *, body: Answered) -> SetUp:
    way = session_request_of(call)
    call.resolved.caller = await call.control_plane.second_factors.find_half_session(
        body.challenge, ENROLMENT
    )
    secret, token, codes = await call.control_plane.second_factors.complete_enrolment(
        body.challenge, body.code, way
    )
    return SetUp(await login_response(call, secret, token), codes)


@factors.route("GET", "second-factor", "One's own", anyone=True, programs=True, returns=Standing)
async def standing(call: EndpointCall) -> Standing:
    return await call.control_plane.second_factors.factor_status(call.caller)


@factors.route(
    "POST", "second-factor", "Begin to set one up; not in force before its first code",
    anyone=True, fresh=True, returns=Enrolment, errors=(409,),
)  # fmt: skip
async def begin(call: EndpointCall) -> Enrolment:
    return await call.control_plane.second_factors.begin_enrolment(*call.caller.account)


@factors.route(
    "POST", "second-factor/confirm", "Its first code puts it in force", anyone=True, fresh=True,
    body=Typed, unrecorded=("code",), returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def confirm(call: EndpointCall, *, body: Typed) -> RecoveryCodes:
    codes = await call.control_plane.second_factors.confirm_enrolment(
        *call.caller.account, body.code
    )
    await call.control_plane.sessions.record_proof(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.route(
    "POST", "second-factor/recovery-codes", "New recovery codes; the old ones end", anyone=True,
    fresh=True, returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def renew(call: EndpointCall) -> RecoveryCodes:
    return RecoveryCodes(await call.control_plane.second_factors.renew_recovery_codes(call.caller))


@factors.route(
    "POST", "second-factor/replacement",
    "Begin with another authenticator: a code of the one in force, or a recovery code", anyone=True,
    fresh=False, body=Typed, unrecorded=("code",), returns=Enrolment, errors=(409,),
)  # fmt: skip
async def replace(call: EndpointCall, *, body: Typed) -> Enrolment:
    return await call.control_plane.factor_replacement.begin_replacement(call.caller, body.code)


@factors.route(
    "POST", "second-factor/replacement/confirm",
    "Its first code puts it in the other's place; one's other sessions end", anyone=True,
    fresh=False, body=Typed, unrecorded=("code",), returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def replaced(call: EndpointCall, *, body: Typed) -> RecoveryCodes:
    codes = await call.control_plane.factor_replacement.confirm_replacement(call.caller, body.code)
    await call.control_plane.sessions.record_proof(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.route(
    "DELETE", "second-factor", "Take away one's own", anyone=True, fresh=True, status=NO_CONTENT,
    errors=(404, 409),
)  # fmt: skip
async def remove(call: EndpointCall) -> None:
    await call.control_plane.second_factors.remove_own(call.caller)


@factors.route(
    "DELETE", "organizations/{org}/users/{user}/second-factor",
    "Take it from somebody who lost it; all credentials of theirs end", role=Role.ADMIN,
    fresh=True, status=NO_CONTENT,
)  # fmt: skip
async def reset(call: EndpointCall, org: str, user: str) -> None:
    await call.control_plane.second_factors.reset_factor(call.caller, org, user)
