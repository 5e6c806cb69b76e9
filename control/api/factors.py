"""Second factors: at sign-in, one's own, and taken from somebody who lost it."""

from msgspec import Struct

from control.api.endpoint import NO_CONTENT, Call, Endpoints
from control.api.sessions import Challenge, Code, Opened, opened, way_of
from control.authn.factors import Enrolment, Standing
from control.authn.opening import ENROLMENT, SECOND_FACTOR
from control.model.people import Role

factors = Endpoints(
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


@factors.add(
    "POST", "second-factor/answer", "The second step: a code, or a recovery code", public=True,
    body=Answered, unrecorded=("challenge", "code"), returns=Opened, errors=(401, 403, 429, 503),
)  # fmt: skip
async def answer(call: Call, *, body: Answered) -> Opened:
    way = way_of(call)
    call.found.caller = await call.plane.factors.half(body.challenge, SECOND_FACTOR)
    secret, token = await call.plane.factors.finish(body.challenge, body.code, way)
    return await opened(call, secret, token)


@factors.add(
    "POST", "second-factor/enrolment", "Set up the second factor that one's organization wants",
    public=True, body=Asked, unrecorded=("challenge",), returns=Enrolment,
    errors=(401, 403, 409, 429, 503),
)  # fmt: skip
async def enrol(call: Call, *, body: Asked) -> Enrolment:
    way_of(call)
    who = await call.plane.factors.half(body.challenge, ENROLMENT)
    call.found.caller = who
    return await call.plane.factors.begin(who.org, who.name)


@factors.add(
    "POST", "second-factor/enrolment/confirm", "Its first code: one is signed in", public=True,
    body=Answered, unrecorded=("challenge", "code"), returns=SetUp,
    errors=(401, 403, 409, 429, 503),
)  # fmt: skip
async def enrolled(call: Call, *, body: Answered) -> SetUp:
    way = way_of(call)
    call.found.caller = await call.plane.factors.half(body.challenge, ENROLMENT)
    secret, token, codes = await call.plane.factors.set_up(body.challenge, body.code, way)
    return SetUp(await opened(call, secret, token), codes)


@factors.add("GET", "second-factor", "One's own", anyone=True, programs=True, returns=Standing)
async def standing(call: Call) -> Standing:
    return await call.plane.factors.standing(call.caller)


@factors.add(
    "POST", "second-factor", "Begin to set one up; not in force before its first code",
    anyone=True, fresh=True, returns=Enrolment, errors=(409,),
)  # fmt: skip
async def begin(call: Call) -> Enrolment:
    return await call.plane.factors.begin(*call.caller.account)


@factors.add(
    "POST", "second-factor/confirm", "Its first code puts it in force", anyone=True, fresh=True,
    body=Typed, unrecorded=("code",), returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def confirm(call: Call, *, body: Typed) -> RecoveryCodes:
    codes = await call.plane.factors.confirm(*call.caller.account, body.code)
    await call.plane.sessions.proven(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.add(
    "POST", "second-factor/recovery-codes", "New recovery codes; the old ones end", anyone=True,
    fresh=True, returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def renew(call: Call) -> RecoveryCodes:
    return RecoveryCodes(await call.plane.factors.new_codes(call.caller))


@factors.add(
    "POST", "second-factor/replacement",
    "Begin with another authenticator: a code of the one in force, or a recovery code", anyone=True,
    fresh=False, body=Typed, unrecorded=("code",), returns=Enrolment, errors=(409,),
)  # fmt: skip
async def replace(call: Call, *, body: Typed) -> Enrolment:
    return await call.plane.replacement.begin(call.caller, body.code)


@factors.add(
    "POST", "second-factor/replacement/confirm",
    "Its first code puts it in the other's place; one's other sessions end", anyone=True,
    fresh=False, body=Typed, unrecorded=("code",), returns=RecoveryCodes, errors=(409,),
)  # fmt: skip
async def replaced(call: Call, *, body: Typed) -> RecoveryCodes:
    codes = await call.plane.replacement.confirm(call.caller, body.code)
    await call.plane.sessions.proven(call.caller, factor=True)
    return RecoveryCodes(codes)


@factors.add(
    "DELETE", "second-factor", "Take away one's own", anyone=True, fresh=True, status=NO_CONTENT,
    errors=(404, 409),
)  # fmt: skip
async def remove(call: Call) -> None:
    await call.plane.factors.remove(call.caller)


@factors.add(
    "DELETE", "organizations/{org}/users/{user}/second-factor",
    "Take it from somebody who lost it; all credentials of theirs end", role=Role.ADMIN,
    fresh=True, status=NO_CONTENT,
)  # fmt: skip
async def reset(call: Call, org: str, user: str) -> None:
    await call.plane.factors.reset(call.caller, org, user)
