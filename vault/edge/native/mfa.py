"""`/api/v1/mfa`: second factors of one's own, of entities, and which logins need them."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocols.instant import rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.mfa.enforcement import BUILT_IN, TOTP, Enforcement, MfaRequirement
from vault.authn.mfa.second_factors import Enrolled, FactorView, Generated, NewTotp, OwnFactors
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.native.tokens import TokenBody
from vault.edge.request import Request
from vault.errors import ConflictError
from vault.model.path import ResourcePath
from vault.model.payloads import (
    FinishLogin,
    NameFactor,
    Nothing,
    SelectFactor,
    ShowFactor,
)

mfa = Endpoints("mfa", "Second factors: authenticator apps, passkeys, recovery codes.")

Text = Annotated[str, Meta(min_length=1, max_length=512)]
Passcode = Annotated[str, Meta(max_length=64)]
Ids = Annotated[list[Text], Meta(max_length=64)]


class MethodLine(Struct, frozen=True, kw_only=True):
    """A method that satisfies an enforcement."""

    id: str
    type: str
    name: str


class NeededFactors(Struct, frozen=True, kw_only=True):
    """One of these methods is needed."""

    enforcement: str
    any: list[MethodLine]


class WaitingBody(Struct, frozen=True, kw_only=True):
    """A login that waits for its second factor: `POST /api/v1/mfa/login` finishes it."""

    mfa_request_id: str
    expires_at: str
    needed: list[NeededFactors]

    @classmethod
    def of(cls, requirement: MfaRequirement) -> "WaitingBody":
        """From what the login says."""
        return cls(
            mfa_request_id=requirement.request_id,
            expires_at=rfc3339(requirement.expires_at),
            needed=[
                NeededFactors(
                    enforcement=name,
                    any=[MethodLine(id=one.id, type=one.type, name=one.name) for one in methods],
                )
                for name, methods in requirement.constraints.items()
            ],
        )


class FactorBody(Struct, frozen=True, kw_only=True):
    """A second factor."""

    id: str
    type: str
    name: str
    created_at: str
    used_at: str | None

    @classmethod
    def of(cls, view: FactorView) -> "FactorBody":
        """From what is stored."""
        return cls(
            id=view.id,
            type=view.type,
            name=view.name,
            created_at=rfc3339(view.created_at),
            used_at=rfc3339_or_none(view.used_at),
        )


class FactorList(Struct, frozen=True, kw_only=True):
    """The factors of an entity, and how many recovery codes are left."""

    factors: list[FactorBody]
    recovery_codes: int

    @classmethod
    def of(cls, found: OwnFactors) -> "FactorList":
        """From what is stored."""
        return cls(
            factors=[FactorBody.of(one) for one in found.factors],
            recovery_codes=found.recovery_codes,
        )


class TotpBody(Struct, frozen=True, kw_only=True):
    """A secret for an authenticator app, shown once. `qr_code`: a PNG picture in base64."""

    secret: str
    url: str
    qr_code: str
    expires_at: str | None

    @classmethod
    def of(cls, made: NewTotp) -> "TotpBody":
        """As it is shown."""
        return cls(
            secret=made.secret,
            url=made.url,
            qr_code=made.qr_code,
            expires_at=rfc3339_or_none(made.expires_at),
        )


class EnrolledBody(Struct, frozen=True, kw_only=True):
    """A factor that counts from now on. Recovery codes come with the first one, shown once."""

    factor: FactorBody
    recovery_codes: list[str]

    @classmethod
    def of(cls, made: Enrolled) -> "EnrolledBody":
        """As it is shown."""
        return cls(factor=FactorBody.of(made.factor), recovery_codes=list(made.recovery_codes))


class RecoveryCodes(Struct, frozen=True):
    """Recovery codes, shown once: each stands in for a second factor, once."""

    recovery_codes: list[str]


class BrowserOptions(Struct, frozen=True):
    """What a browser makes or uses a passkey with: `navigator.credentials`, as JSON."""

    options: dict[str, Any]


class VerifiedBody(Struct, frozen=True):
    """When a second factor was shown for the token."""

    mfa_at: str


class FinishBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The factors of a login that waits: a code, codes by method, or a passkey's answer."""

    mfa_request_id: Text
    passcode: Passcode = ""
    codes: Annotated[dict[str, Passcode], Meta(max_length=64)] = {}
    assertion: dict[str, Any] | None = None

    def payload(self) -> FinishLogin:
        """As the operation takes it."""
        return FinishLogin(
            request_id=self.mfa_request_id,
            passcode=self.passcode,
            codes={method: (code,) for method, code in self.codes.items()},
            assertion=self.assertion,
        )


class WaitingLoginBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login that waits."""

    mfa_request_id: Text


class ShownFactor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of an own factor, a recovery code, or a passkey's answer."""

    passcode: Passcode = ""
    assertion: dict[str, Any] | None = None


class FactorName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a factor is to be called."""

    name: Annotated[str, Meta(max_length=128)] = ""


class NewPasskeyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a browser has made, and what it is to be called."""

    credential: dict[str, Any]
    name: Annotated[str, Meta(max_length=128)] = ""


class FirstCode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of the new authenticator app."""

    passcode: Passcode


class FactorRemoval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which factor, and a code of it or a recovery code."""

    factor: Text
    passcode: Passcode = ""


class EnforcementBody(Struct, frozen=True, kw_only=True):
    """Which logins need a second factor, one of `methods`.

    Those of these auth mounts (by accessor or type), entities or groups (by id).
    """

    name: str
    methods: list[str]
    accessors: list[str]
    types: list[str]
    entities: list[str]
    groups: list[str]

    @classmethod
    def of(cls, name: str, one: Enforcement) -> "EnforcementBody":
        """From what is stored."""
        return cls(
            name=name,
            methods=list(one.methods),
            accessors=list(one.accessors),
            types=list(one.types),
            entities=list(one.entities),
            groups=list(one.groups),
        )


class EnforcementList(Struct, frozen=True):
    """All enforcements, by name; that of the settings is called `configuration`."""

    enforcements: list[EnforcementBody]


class NewEnforcement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which logins need a second factor, and by which methods: `totp`, `webauthn`, or an id.

    Without methods: by either of the two.
    """

    methods: Ids | None = None
    accessors: Ids = []
    types: Ids = []
    entities: Ids = []
    groups: Ids = []


@mfa.add(
    "POST",
    "mfa/login",
    "Finish a login by its second factor",
    body=FinishBody,
    returns=TokenBody,
    public=True,
    errors=(401,),
)
async def finish_login(dialect: Dialect, request: Request, *, body: FinishBody) -> TokenBody:
    issued = await dialect.run_operation(request, operations.FINISH_LOGIN, _LOGIN, body.payload())
    return TokenBody.of(issued.row, token=issued.text, warnings=list(issued.warnings))


@mfa.add(
    "POST",
    "mfa/login/passkey",
    "Begin to finish a login by a passkey",
    body=WaitingLoginBody,
    returns=BrowserOptions,
    public=True,
    errors=(401, 404),
)
async def begin_login_passkey(
    dialect: Dialect, request: Request, *, body: WaitingLoginBody
) -> BrowserOptions:
    payload = FinishLogin(request_id=body.mfa_request_id)
    return BrowserOptions(
        await dialect.run_operation(request, operations.BEGIN_LOGIN_PASSKEY, _LOGIN, payload)
    )


@mfa.add(
    "POST",
    "mfa/verify",
    "Show a second factor for your token (step-up)",
    body=ShownFactor,
    returns=VerifiedBody,
)
async def verify(dialect: Dialect, request: Request, *, body: ShownFactor) -> VerifiedBody:
    payload = ShowFactor(passcode=body.passcode, assertion=body.assertion)
    row = await dialect.run_operation(request, operations.SHOW_FACTOR, _own("verify"), payload)
    return VerifiedBody(rfc3339(row.mfa_at or 0))


@mfa.add(
    "POST",
    "mfa/verify/passkey",
    "Begin to show a passkey for your token",
    returns=BrowserOptions,
    errors=(404,),
)
async def begin_verify(dialect: Dialect, request: Request) -> BrowserOptions:
    return BrowserOptions(
        await dialect.run_operation(request, operations.BEGIN_ASSERTION, _own("verify"), Nothing())
    )


@mfa.add("GET", "mfa/factors", "List your second factors", returns=FactorList)
async def list_own(dialect: Dialect, request: Request) -> FactorList:
    return FactorList.of(
        await dialect.run_operation(
            request, operations.LIST_OWN_FACTORS, _own("factors"), Nothing()
        )
    )


@mfa.add(
    "POST",
    "mfa/totp",
    "Begin to enrol an authenticator app; its secret is shown once",
    body=FactorName,
    returns=TotpBody,
)
async def begin_totp(dialect: Dialect, request: Request, *, body: FactorName) -> TotpBody:
    payload = NameFactor(name=body.name)
    return TotpBody.of(
        await dialect.run_operation(request, operations.BEGIN_TOTP, _own("totp"), payload)
    )


@mfa.add(
    "POST",
    "mfa/totp/confirm",
    "Have the new authenticator app count, by a code of it",
    body=FirstCode,
    returns=EnrolledBody,
    errors=(404, 409),
)
async def confirm_totp(dialect: Dialect, request: Request, *, body: FirstCode) -> EnrolledBody:
    payload = ShowFactor(passcode=body.passcode)
    return EnrolledBody.of(
        await dialect.run_operation(request, operations.CONFIRM_TOTP, _own("totp"), payload)
    )


@mfa.add("POST", "mfa/passkeys/options", "Begin to register a passkey", returns=BrowserOptions)
async def begin_passkey(dialect: Dialect, request: Request) -> BrowserOptions:
    return BrowserOptions(
        await dialect.run_operation(request, operations.BEGIN_PASSKEY, _own("passkeys"), Nothing())
    )


@mfa.add(
    "POST",
    "mfa/passkeys",
    "Register a passkey that a browser has made",
    body=NewPasskeyBody,
    returns=EnrolledBody,
    errors=(409,),
)
async def register_passkey(
    dialect: Dialect, request: Request, *, body: NewPasskeyBody
) -> EnrolledBody:
    payload = NameFactor(name=body.name, credential=body.credential)
    return EnrolledBody.of(
        await dialect.run_operation(request, operations.REGISTER_PASSKEY, _own("passkeys"), payload)
    )


@mfa.add(
    "POST",
    "mfa/factors/remove",
    "Remove a second factor of yours, by a code of it",
    body=FactorRemoval,
    status=204,
    errors=(404,),
)
async def remove(dialect: Dialect, request: Request, *, body: FactorRemoval) -> None:
    payload = ShowFactor(factor=body.factor, passcode=body.passcode)
    await dialect.run_operation(request, operations.REMOVE_FACTOR, _own("factors"), payload)


@mfa.add(
    "POST",
    "mfa/recovery-codes",
    "Make new recovery codes in the place of the others",
    body=ShownFactor,
    returns=RecoveryCodes,
    errors=(404,),
)
async def renew_recovery_codes(
    dialect: Dialect, request: Request, *, body: ShownFactor
) -> RecoveryCodes:
    payload = ShowFactor(passcode=body.passcode, assertion=body.assertion)
    codes = await dialect.run_operation(
        request, operations.RENEW_RECOVERY_CODES, _own("recovery-codes"), payload
    )
    return RecoveryCodes(list(codes))


@mfa.add("GET", "mfa/entities/{id}", "List the second factors of an entity", returns=FactorList)
async def list_factors(dialect: Dialect, request: Request, entity_id: str) -> FactorList:
    return FactorList.of(
        await dialect.run_operation(
            request,
            operations.LIST_FACTORS,
            system_path("mfa/entities", entity_id),
            SelectFactor(entity_id=entity_id),
        )
    )


@mfa.add(
    "POST",
    "mfa/entities/{id}/totp",
    "Give an entity the secret of an authenticator app; it counts at once",
    returns=TotpBody,
    errors=(409,),
)
async def generate(dialect: Dialect, request: Request, entity_id: str) -> TotpBody:
    found: Generated = await dialect.run_operation(
        request,
        operations.GENERATE_FACTOR,
        system_path("mfa/entities", entity_id),
        SelectFactor(entity_id=entity_id, method_id=TOTP),
    )
    if found.made is None:
        raise ConflictError(
            "factor_exists", "this entity has an authenticator app: remove its factors first"
        )
    return TotpBody.of(found.made)


@mfa.add("DELETE", "mfa/entities/{id}", "Remove all second factors of an entity", status=204)
async def destroy(dialect: Dialect, request: Request, entity_id: str) -> None:
    await dialect.run_operation(
        request,
        operations.DESTROY_FACTOR,
        system_path("mfa/entities", entity_id),
        SelectFactor(entity_id=entity_id),
    )


@mfa.add(
    "GET", "mfa/enforcements", "List which logins need a second factor", returns=EnforcementList
)
async def list_enforcements(dialect: Dialect, request: Request) -> EnforcementList:
    found = await dialect.run_operation(
        request, operations.LIST_ENFORCEMENTS, system_path("mfa/enforcements"), Nothing()
    )
    return EnforcementList([EnforcementBody.of(name, one) for name, one in found.items()])


@mfa.add("GET", "mfa/enforcements/{name}", "Read an enforcement", returns=EnforcementBody)
async def read_enforcement(dialect: Dialect, request: Request, name: str) -> EnforcementBody:
    found = await dialect.run_operation(
        request, operations.READ_ENFORCEMENT, system_path("mfa/enforcements", name), Nothing()
    )
    return EnforcementBody.of(name, found)


@mfa.add(
    "PUT",
    "mfa/enforcements/{name}",
    "Have logins need a second factor",
    body=NewEnforcement,
    returns=EnforcementBody,
    errors=(409,),
)
async def write_enforcement(
    dialect: Dialect, request: Request, name: str, *, body: NewEnforcement
) -> EnforcementBody:
    wanted = Enforcement(
        methods=BUILT_IN if body.methods is None else tuple(body.methods),
        accessors=tuple(body.accessors),
        types=tuple(body.types),
        entities=tuple(body.entities),
        groups=tuple(body.groups),
    )
    stored = await dialect.run_operation(
        request, operations.WRITE_ENFORCEMENT, system_path("mfa/enforcements", name), wanted
    )
    return EnforcementBody.of(name, stored)


@mfa.add(
    "DELETE",
    "mfa/enforcements/{name}",
    "Delete an enforcement",
    status=204,
    errors=(404, 409),
)
async def delete_enforcement(dialect: Dialect, request: Request, name: str) -> None:
    await dialect.run_operation(
        request, operations.DELETE_ENFORCEMENT, system_path("mfa/enforcements", name), Nothing()
    )


_LOGIN = ResourcePath.parse("sys/mfa/validate")


def _own(name: str) -> ResourcePath:
    return ResourcePath.parse(f"sys/mfa/own/{name}")
