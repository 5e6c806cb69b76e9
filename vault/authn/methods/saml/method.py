"""`saml`: whoever an identity provider vouches for, by a browser, logs in (SAML 2.0).

Three steps. A client begins (`sso_service_url`): it gets a URL for the browser, and keeps a secret
of which it has shown the digest. The provider sends the browser to the agent with its answer
(`callback`): that is verified once, kept sealed under a one-time code for a minute, and the browser
is sent on with the code to where the role allows it, most often a listener of the client itself.
The client shows code and secret (`login`). So an answer counts for whoever began: a page that makes
a browser bring somebody else's answer, or a stranger who sends somebody a link, gets nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hmac import compare_digest
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import msgspec
import trio
from msgspec import Struct

from actors.world import World
from protocols.instant import SECOND
from vault.authn.jwt.claims import check_bound_claims
from vault.authn.jwt.compact import InvalidTokenError
from vault.authn.jwt.digest import digest_of
from vault.authn.methods.documents import folded_name
from vault.authn.methods.method import (
    CONFIG,
    MAX_ALIAS,
    MAX_GROUPS,
    Action,
    ActionRequest,
    ActionVerb,
    EntryKind,
    EntryReader,
    EntryTx,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
)
from vault.authn.methods.oidc_flow import is_allowed_redirect
from vault.authn.methods.saml.documents import (
    METADATA,
    METADATA_URL,
    RESERVED_METADATA,
    SamlConfig,
    SamlRole,
    prepared_config,
    prepared_role,
)
from vault.authn.methods.saml.request import request_url
from vault.authn.methods.saml.response import (
    TRANSIENT,
    ExpectedResponse,
    InvalidResponseError,
    VerifiedAssertion,
    verify_response,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.identity import Method
from vault.model.records import AuthMountRow, TokenRow

ROLE: Final = "role"
REQUEST: Final = "saml-request"
ANSWER: Final = "saml-answer"
SEEN: Final = "saml-assertion"
BEGIN: Final = "sso_service_url"
CALLBACK: Final = "callback"
LOOPBACK: Final = ("http://localhost/saml/callback", "http://127.0.0.1/saml/callback")
"""A listener on the machine of whoever logs in, on any port (RFC 8252, 7.3). Roles allow it."""
REQUEST_LIFETIME: Final = 300 * SECOND
ANSWER_LIFETIME: Final = 60 * SECOND
SEEN_LIFETIME: Final = 86_400 * SECOND  # at most; the request that it answers ends long before
MAX_FIELD: Final = 2048
MAX_VERIFYING: Final = 2  # answers at a time, in threads
_CHALLENGE_LENGTH: Final = 43  # a SHA-256 in unpadded base64url


class SamlRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept while the browser is at the provider."""

    id: str
    role: str
    acs_url: str
    redirect_uri: str
    challenge: str


class SamlAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider said, until the client fetches it."""

    role: str
    challenge: str
    assertion: VerifiedAssertion


class BeginSaml(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants to log in, and where the browser goes once the provider has answered.

    `client_challenge`: the SHA-256 of the client's secret, in unpadded base64url. `acs_url`: one of
    the mount's; empty: its first.
    """

    role: str = ""
    acs_url: str = ""
    client_challenge: str = ""
    redirect_uri: str = ""


class BringAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider's page has a browser post (SAML Bindings 2.0, 3.5)."""

    SAMLResponse: str = ""
    RelayState: str = ""


class AnswerRefusedError(LoginRefusedError):
    """An answer that does not count, where it is known who waits for it: at `redirect_uri`."""

    def __init__(self, code: str, reason: str, redirect_uri: str) -> None:
        super().__init__(code, f"login refused: {reason}")
        self.redirect_uri = redirect_uri


class SamlMethod:
    """See `LoginMethod`."""

    type: Final = str(Method.SAML)
    login_paths: Final = ("login",)

    def __init__(self, entries: EntryReader, world: World, new_secret: Callable[[], str]) -> None:
        """`new_secret`: 256 random bits as text."""
        self._entries = entries
        self._world = world
        self._new_secret = new_secret
        self._verifying = trio.CapacityLimiter(MAX_VERIFYING)
        self.kinds: Mapping[str, EntryKind[Any]] = {
            CONFIG: EntryKind(
                name=CONFIG,
                document=SamlConfig,
                write_only={METADATA: str, METADATA_URL: str},
                prepare=prepared_config,
            ),
            ROLE: EntryKind(
                name=ROLE, document=SamlRole, canonical=folded_name, prepare=prepared_role
            ),
            REQUEST: EntryKind(
                name=REQUEST,
                document=SamlRequest,
                sealed=frozenset({"id", "challenge"}),
                internal=True,
            ),
            ANSWER: EntryKind(
                name=ANSWER,
                document=SamlAnswer,
                sealed=frozenset({"assertion", "challenge"}),
                internal=True,
            ),
            SEEN: EntryKind(name=SEEN, document=_Seen, internal=True),
        }
        self.actions: Mapping[str, Action[Any]] = {
            BEGIN: Action(
                name=BEGIN, verb=ActionVerb.BEGIN, path=BEGIN, run=self.begin, fields=BeginSaml
            ),
            CALLBACK: Action(
                name=CALLBACK,
                verb=ActionVerb.BEGIN,
                path=CALLBACK,
                run=self.call_back,
                fields=BringAnswer,
            ),
        }

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # see `LoginMethod`
        """Empty: a signature cannot be guessed, so nothing is locked."""
        return ""

    async def begin(self, request: ActionRequest[BeginSaml]) -> Mapping[str, Any]:
        """The URL of the provider that a browser goes to.

        Raises `ValidationError`, `LoginRefusedError`, `UnavailableError` (`library_missing`).
        """
        fields, config = request.fields, await self._config(request.mount)
        require_library()
        texts = (fields.role, fields.acs_url, fields.client_challenge, fields.redirect_uri)
        if max(map(len, texts)) > MAX_FIELD:
            raise ValidationError("field_invalid", f"a field has at most {MAX_FIELD} characters")
        if len(fields.client_challenge) != _CHALLENGE_LENGTH:
            raise ValidationError(
                "challenge_invalid",
                "client_challenge must be the SHA-256 of a secret of yours, in unpadded base64url",
                field="client_challenge",
            )
        acs_url = fields.acs_url or config.acs_urls[0]
        if acs_url not in config.acs_urls:
            raise ValidationError(
                "acs_url_not_allowed",
                "acs_url is not one of the mount's: add it to acs_urls",
                field="acs_url",
            )
        name, role = await self._role(request.mount, fields.role or config.default_role)
        uri = fields.redirect_uri
        # It becomes a header: and what parses URLs leaves line breaks out.
        if any(not "!" <= c <= "~" for c in uri) or not is_allowed_redirect(
            uri, (*LOOPBACK, *role.allowed_redirect_uris)
        ):
            raise ValidationError(
                "redirect_uri_not_allowed",
                "redirect_uri must be http://localhost:PORT/saml/callback, or one of the role's "
                "allowed_redirect_uris",
                field="redirect_uri",
            )
        state, now = f"rs_{self._new_secret()}", self._world.now()
        kept = SamlRequest(
            id=f"_{self._new_secret()}",  # an NCName may not begin with a digit
            role=name,
            acs_url=acs_url,
            redirect_uri=uri,
            challenge=fields.client_challenge,
        )
        await self._entries.transact(
            request.mount.id,
            lambda tx: tx.put(
                REQUEST,
                digest_of(state),
                msgspec.to_builtins(kept),
                expires_at=now + REQUEST_LIFETIME,
                uses_left=1,
            ),
        )
        url = request_url(
            config.idp_sso_url,
            request_id=kept.id,
            issuer=config.entity_id,
            acs_url=acs_url,
            relay_state=state,
            now=now,
        )
        return {"sso_service_url": url}

    async def call_back(self, request: ActionRequest[BringAnswer]) -> Mapping[str, Any]:
        """Where a browser goes that has brought an answer.

        Raises `LoginRefusedError`; `AnswerRefusedError` once it is known who waits.
        """
        from protocols.pki.certificates import parse_pem_chain

        mount, fields = request.mount, request.fields
        config = await self._config(mount)
        kept = await self._take_request(mount, fields.RelayState)
        expected = ExpectedResponse(
            request_id=kept.id,
            acs_url=kept.acs_url,
            entity_id=config.entity_id,
            idp_entity_id=config.idp_entity_id,
            certificates=tuple(parse_pem_chain(config.idp_cert.encode())),
            leeway=config.clock_skew_leeway // SECOND,
            assertion_signed=config.validate_assertion_signature,
            response_signed=config.validate_response_signature,
        )
        try:
            found = await self._world.run_sync(
                verify_response,
                fields.SAMLResponse,
                expected,
                self._world.now() // SECOND,
                limiter=self._verifying,
            )
        except InvalidResponseError as error:
            raise AnswerRefusedError("login_refused", error.reason, kept.redirect_uri) from None
        code = f"sc_{self._new_secret()}"
        answer = SamlAnswer(role=kept.role, challenge=kept.challenge, assertion=found)
        change = _keeping(code, answer, self._world.now())
        if not await self._entries.transact(mount.id, change):
            raise AnswerRefusedError("login_refused", "it was shown before", kept.redirect_uri)
        return {"redirect_uri": with_query(kept.redirect_uri, {"code": code})}

    async def login(self, request: LoginRequest) -> LoginResult:
        """See `LoginMethod`. Whoever began shows the code that the browser came back with."""
        mount, fields = request.mount, request.fields
        code, verifier = _text(fields, "code"), _text(fields, "client_verifier")
        name = digest_of(code)
        entry = await self._entries.get(mount.id, ANSWER, name) if code else None
        if entry is None:
            raise _refused_error("the code is unknown, used or older than a minute: log in anew")
        kept = msgspec.convert(entry.document, SamlAnswer)
        if not compare_digest(kept.challenge.encode(), digest_of(verifier).encode()):
            raise _refused_error("somebody else began this login (client_verifier)")
        role_name, role = await self._role(mount, kept.role)
        result = _result(role_name, role, kept.assertion)

        def claim(tx: EntryTx) -> None:
            if not tx.spend(ANSWER, name):
                raise _refused_error("the code was used: log in anew")

        return replace(result, claim=claim)

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """The role has to be there still; a provider cannot be asked again without a browser."""
        name = token.role if isinstance(token.role, str) else ""
        if await self._entries.get(mount.id, ROLE, name) is None:
            raise LoginRefusedError("role_gone", "its role is gone: log in again")

    async def _config(self, mount: AuthMountRow) -> SamlConfig:
        entry = await self._entries.get(mount.id, CONFIG, CONFIG)
        if entry is None:
            raise ValidationError(
                "saml_not_configured", "this auth mount has no configuration yet: write config"
            )
        return msgspec.convert(entry.document, SamlConfig)

    async def _role(self, mount: AuthMountRow, name: str) -> tuple[str, SamlRole]:
        if not name:
            raise ValidationError("role_missing", "missing role", field="role")
        entry = await self._entries.get(mount.id, ROLE, name.lower())
        if entry is None:
            raise _refused_error("see the role and the provider")
        return entry.name, msgspec.convert(entry.document, SamlRole)

    async def _take_request(self, mount: AuthMountRow, state: str) -> SamlRequest:
        """What was kept, once: whatever comes of the answer."""
        name = digest_of(state)
        entry = await self._entries.get(mount.id, REQUEST, name) if state else None
        if entry is not None and await self._entries.transact(
            mount.id, lambda tx: tx.spend(REQUEST, name)
        ):
            return msgspec.convert(entry.document, SamlRequest)
        raise _refused_error(
            "nobody here began it, or longer than five minutes ago (RelayState): log in from the "
            "CLI or the agent's page, not from the provider's"
        )


class _Seen(Struct, frozen=True, forbid_unknown_fields=True):
    """An assertion that was shown; there is no more to say of it."""


def require_library() -> None:
    """Raise `UnavailableError` where the extra is not installed."""
    try:
        import signxml.verifier  # noqa: F401
    except ImportError:
        raise UnavailableError(
            "library_missing", "signxml is not installed: pip install 'freehold[saml]'"
        ) from None


def with_query(uri: str, query: Mapping[str, str]) -> str:
    """A URI with this behind its own query."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(query)}"


def _keeping(code: str, answer: SamlAnswer, now: int) -> Callable[[EntryTx], bool]:
    """Keep an answer for its client; False: the assertion was shown before, here or elsewhere."""
    seen = digest_of(answer.assertion.id)
    until = min(answer.assertion.ends_at * SECOND, now + SEEN_LIFETIME)

    def change(tx: EntryTx) -> bool:
        if tx.get(SEEN, seen) is not None:
            return False
        tx.put(SEEN, seen, {}, expires_at=max(until, now + REQUEST_LIFETIME))
        tx.put(
            ANSWER,
            digest_of(code),
            msgspec.to_builtins(answer),
            expires_at=now + ANSWER_LIFETIME,
            uses_left=1,
        )
        return True

    return change


def _result(name: str, role: SamlRole, assertion: VerifiedAssertion) -> LoginResult:
    """The login result for an assertion. Raises `LoginRefusedError`."""
    attributes = {key: list(values) for key, values in assertion.attributes.items()}
    try:
        check_bound_claims({"subject": assertion.subject}, role.subjects)
        check_bound_claims(attributes, role.attributes)
    except InvalidTokenError:
        raise _refused_error(
            "the role is not for this subject, or not for these attributes"
        ) from None
    groups = None
    if role.groups_attribute:
        groups = tuple(dict.fromkeys(assertion.attributes.get(role.groups_attribute, ())))
        if len(groups) > MAX_GROUPS:  # one that were left out may be the one that denies
            raise _refused_error(f"the provider names more than {MAX_GROUPS} groups")
    alias = _alias(role, assertion)
    mapped = {
        target: _one_value(assertion, attribute)
        for attribute, target in role.attribute_mappings.items()
        if assertion.attributes.get(attribute)
    }
    metadata = {**mapped, RESERVED_METADATA: name}
    return LoginResult(
        alias=alias,
        alias_metadata=metadata,
        display_name=alias,
        token=role.token_parameters,
        metadata=metadata,
        groups=groups,
        role=name,
        is_person=True,
    )


def _alias(role: SamlRole, assertion: VerifiedAssertion) -> str:
    if role.alias_attribute:
        alias = _one_value(assertion, role.alias_attribute)
    elif assertion.subject_format == TRANSIENT:
        _refuse(
            "the provider names somebody else each time (transient NameID): have it send another "
            "format, or set alias_attribute on the role"
        )
    else:
        alias = assertion.subject
    if not 0 < len(alias.encode()) <= MAX_ALIAS:
        _refuse("what names its subject is empty or too long")
    return alias


def _one_value(assertion: VerifiedAssertion, attribute: str) -> str:
    values = assertion.attributes.get(attribute, ())
    if len(values) != 1:
        _refuse("an attribute that the role needs one value of has none, or several")
    return values[0]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_FIELD:
        raise ValidationError("field_invalid", f"{name} must be a text", field=name)
    return value


def _refuse(reason: str) -> NoReturn:
    raise _refused_error(reason)


def _refused_error(reason: str) -> LoginRefusedError:
    return LoginRefusedError("login_refused", f"login refused: {reason}")
