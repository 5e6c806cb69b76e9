"""The method `cert`: the TLS certificate of the connection says who somebody is.

TLS has verified the certificate against `server.tls.ca_file`; a role says which of those it takes.
A token counts on connections with its certificate alone, unless the mount is told otherwise.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct, convert
from msgspec.structs import replace

from actors.world import World
from protocols.instant import SECOND
from protocols.outbound import parse_target
from protocols.pki.errors import ChainError, PkiError, RevokedError
from vault.authn.methods.documents import checked_token_fields, exact_name
from vault.authn.methods.method import (
    CONFIG,
    Action,
    Duration,
    EntryChange,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenFields,
)
from vault.authn.methods.ocsp import (
    MAX_CACHED,
    MAX_SERVERS,
    OcspChecker,
    OcspSettings,
    OcspUnavailableError,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.records import AuthMountRow, TokenRow

if TYPE_CHECKING:
    from protocols.pki.client_certificate import ClientCertificate

MAX_ROLES: Final = 200  # that are tried for a login that names none
MAX_CRLS: Final = 16
MAX_PATTERNS: Final = 64
MAX_MATCH: Final = 900 * SECOND  # that a role is known to take a certificate
FAIL_OPEN_MATCH: Final = 60 * SECOND  # the same, while no responder says anything
CERTS: Final = "certs"
CRLS: Final = "crls"
_NAME: Final = "name"
_ANY_OF_NAMES: Final = "allowed_names"
_REFUSED: Final = "invalid certificate or no client certificate supplied"


class CertConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`disable_binding`: a token counts on any connection, with whatever certificate or none.

    `tokenless`: a request that shows a certificate of a role, and no token, needs no login.
    """

    disable_binding: bool = False
    enable_identity_alias_metadata: bool = False
    ocsp_cache_size: Annotated[int, Meta(ge=0, le=MAX_CACHED)] = 100
    tokenless: bool = False


class CertRole(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Which certificates get which token. Patterns may have `*`; none given: any value.

    `certificate`: PEM of authorities, or of one client. `required_extensions`: `OID:PATTERN`.
    `ocsp_ca_certificates`: PEM, who else may sign the answers of OCSP responders.
    """

    certificate: str
    display_name: str = ""
    allowed_names: tuple[str, ...] = ()
    allowed_common_names: tuple[str, ...] = ()
    allowed_dns_sans: tuple[str, ...] = ()
    allowed_email_sans: tuple[str, ...] = ()
    allowed_uri_sans: tuple[str, ...] = ()
    allowed_organizational_units: tuple[str, ...] = ()
    required_extensions: tuple[str, ...] = ()
    allowed_metadata_extensions: tuple[str, ...] = ()
    ocsp_enabled: bool = False
    ocsp_ca_certificates: str = ""
    ocsp_servers_override: tuple[str, ...] = ()
    ocsp_fail_open: bool = False
    ocsp_query_all_servers: bool = False
    ocsp_this_update_max_age: Duration = 0

    @property
    def ocsp(self) -> OcspSettings:
        """The OCSP settings of this role."""
        return OcspSettings(
            servers=self.ocsp_servers_override,
            all_servers=self.ocsp_query_all_servers,
            trusted=self.ocsp_ca_certificates,
            max_age=self.ocsp_this_update_max_age,
        )


@dataclass(frozen=True, kw_only=True)
class CertMatch:
    """A role that takes a certificate. `until`: Unix ns, until when that is so, roles unchanged."""

    name: str
    role: CertRole
    certificate: "ClientCertificate"
    until: int


class Revocations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of revoked certificates, in PEM."""

    crl: str


class CertMethod:
    """See `LoginMethod`."""

    type: Final = "cert"
    login_paths: Final = ("login",)

    def __init__(self, entries: EntryReader, world: World, ocsp: OcspChecker) -> None:
        self._entries = entries
        self._world = world
        self._ocsp = ocsp
        self.kinds: Mapping[str, EntryKind[Any]] = {
            CONFIG: EntryKind(name=CONFIG, document=CertConfig),
            CERTS: EntryKind(
                name=CERTS, document=CertRole, canonical=exact_name, prepare=_prepared
            ),
            CRLS: EntryKind(
                name=CRLS, document=Revocations, canonical=exact_name, prepare=_checked
            ),
        }
        self.actions: Mapping[str, Action[Any]] = {}

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # see `LoginMethod`
        """Nobody's: there is nothing to guess."""
        return ""

    async def login(self, request: LoginRequest) -> LoginResult:
        """See `LoginMethod`."""
        mount, der = request.mount, request.origin.peer_certificate
        if der is None:
            raise LoginRefusedError(
                "certificate_missing",
                "no client certificate came with the connection: send one, and see that "
                "server.tls.client_auth is optional or required",
                vault_message="client certificate must be supplied",
            )
        config = await self.config(mount)
        found = await self.match(mount, der, config, await self._candidates(request))
        if found is None:
            raise LoginRefusedError("login_refused", _REFUSED)
        return self.result(found, config)

    async def config(self, mount: AuthMountRow) -> CertConfig:
        """The configuration of a mount; the defaults where none is written."""
        entry = await self._entries.get(mount.id, CONFIG, CONFIG)
        return CertConfig() if entry is None else convert(entry.document, CertConfig)

    async def match(
        self, mount: AuthMountRow, der: bytes, config: CertConfig, names: list[str] | None = None
    ) -> CertMatch | None:
        """The first of these roles, or of all, that takes a certificate.

        Raises `UnavailableError` (`ocsp_unavailable`) where one would, if anybody could say that it
        is not revoked.
        """
        lists = await self._revocations(mount)
        unknown = ""
        for name in await self._names(mount) if names is None else names:
            entry = await self._entries.get(mount.id, CERTS, name)
            if entry is None:
                continue
            role = convert(entry.document, CertRole)
            found = self._matching(role, der, lists)
            if found is None:
                continue
            try:
                until = await self._good_until(role, der, found, config)
            except RevokedError:
                continue
            except OcspUnavailableError as error:
                unknown = error.reason
                continue
            return CertMatch(name=name, role=role, certificate=found, until=until)
        if unknown:
            raise UnavailableError("ocsp_unavailable", f"the certificate is not taken: {unknown}")
        return None

    async def _good_until(
        self, role: CertRole, der: bytes, found: "ClientCertificate", config: CertConfig
    ) -> int:
        """Until when it counts as not revoked. Raises `RevokedError`, `OcspUnavailableError`."""
        longest = min(found.ends_at, self._world.now() + MAX_MATCH)
        if not role.ocsp_enabled:
            return longest
        try:
            until = await self._ocsp.check(der, found, role.ocsp, config.ocsp_cache_size)
        except OcspUnavailableError:
            if not role.ocsp_fail_open:
                raise
            return min(longest, self._world.now() + FAIL_OPEN_MATCH)
        return min(longest, until)

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """The role must still be there. The certificate is checked on each request."""
        role = token.role if isinstance(token.role, str) else ""
        if await self._entries.get(mount.id, CERTS, role) is None:
            raise LoginRefusedError(
                "renewal_refused", "the role of this login is gone: log in again"
            )

    async def _candidates(self, request: LoginRequest) -> list[str]:
        named = request.fields.get(_NAME, "")
        if isinstance(named, str) and named:
            return [named]
        return await self._names(request.mount)

    async def _names(self, mount: AuthMountRow) -> list[str]:
        return await self._entries.list_names(mount.id, CERTS, limit=MAX_ROLES)

    async def _revocations(self, mount: AuthMountRow) -> list[str]:
        names = await self._entries.list_names(mount.id, CRLS, limit=MAX_CRLS)
        found = [await self._entries.get(mount.id, CRLS, name) for name in names]
        return [str(entry.document["crl"]) for entry in found if entry is not None]

    def _matching(self, role: CertRole, der: bytes, lists: list[str]) -> "ClientCertificate | None":
        from protocols.pki.client_certificate import verify_client  # most agents need none

        try:
            found = verify_client(der, role.certificate, lists, self._world.now())
        except PkiError:
            return None
        return found if _is_allowed(role, found) else None

    def result(self, match: CertMatch, config: CertConfig) -> LoginResult:
        """The login result for a certificate that a role takes."""
        name, role, found = match.name, match.role, match.certificate
        extensions = {
            oid.replace(".", "-"): found.extensions[oid]
            for oid in role.allowed_metadata_extensions
            if oid in found.extensions
        }
        metadata = {
            "cert_name": name,
            "common_name": found.common_name,
            "serial_number": str(int(found.serial, 16)),
            "subject_key_id": _colons(found.subject_key),
            "authority_key_id": _colons(found.authority_key),
            **extensions,
        }
        return LoginResult(
            alias=found.common_name or next(iter(found.uris), found.fingerprint),
            alias_metadata=metadata if config.enable_identity_alias_metadata else {},
            display_name=role.display_name or name,
            token=role.token_parameters,
            metadata=metadata,
            role=name,
            certificate="" if config.disable_binding else found.fingerprint,
        )


def _is_allowed(role: CertRole, found: "ClientCertificate") -> bool:
    common = (found.common_name,) if found.common_name else ()
    checks = (
        (role.allowed_names, (*common, *found.dns_names, *found.emails)),
        (role.allowed_common_names, common),
        (role.allowed_dns_sans, found.dns_names),
        (role.allowed_email_sans, found.emails),
        (role.allowed_uri_sans, found.uris),
        (role.allowed_organizational_units, found.organizational_units),
    )
    if not all(_matches_any(patterns, values) for patterns, values in checks if patterns):
        return False
    required = (text.partition(":") for text in role.required_extensions)
    return all(
        oid in found.extensions and _matches_any((pattern,), (found.extensions[oid],))
        for oid, _, pattern in required
    )


def _matches_any(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return any(_pattern(pattern).fullmatch(value) for pattern in patterns for value in values)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


async def _prepared(change: EntryChange[CertRole]) -> CertRole:
    new = checked_token_fields(change.new)
    new = replace(new, display_name=new.display_name or change.name)
    from protocols.pki.client_certificate import check_trusted

    try:
        check_trusted(new.certificate)
    except PkiError as error:
        raise ValidationError("certificate_invalid", str(error), field="certificate") from None
    _check_ocsp(new)
    for field in (
        _ANY_OF_NAMES, "allowed_common_names", "allowed_dns_sans", "allowed_email_sans",
        "allowed_uri_sans", "allowed_organizational_units", "required_extensions",
    ):  # fmt: skip
        patterns: tuple[str, ...] = getattr(new, field)
        if len(patterns) > MAX_PATTERNS or any(each.count("*") > 2 for each in patterns):  # noqa: PLR2004
            raise ValidationError(
                "pattern_invalid",
                f"{field} has at most {MAX_PATTERNS} patterns, each with at most two *",
                field=field,
            )
    return new


def _check_ocsp(role: CertRole) -> None:
    """Raise `ValidationError` for OCSP that cannot work."""
    for url in role.ocsp_servers_override:
        try:
            parse_target(url)
        except (ValueError, UnicodeError):
            raise ValidationError(
                "url_invalid",
                "ocsp_servers_override must be http or https URLs",
                field="ocsp_servers_override",
            ) from None
    if len(role.ocsp_servers_override) > MAX_SERVERS:
        raise ValidationError(
            "url_invalid",
            f"ocsp_servers_override has at most {MAX_SERVERS} URLs",
            field="ocsp_servers_override",
        )
    from protocols.pki.client_certificate import check_trusted

    try:
        trusted = role.ocsp_ca_certificates
        if trusted and not check_trusted(trusted):
            raise ChainError("not an authority")
        known = bool(trusted) or check_trusted(role.certificate)
    except PkiError:
        raise ValidationError(
            "certificate_invalid",
            "ocsp_ca_certificates must be certificates of authorities in PEM",
            field="ocsp_ca_certificates",
        ) from None
    if role.ocsp_enabled and not known:
        raise ValidationError(
            "certificate_invalid",
            "a client's own certificate says nothing of its issuer's key, which OCSP needs: write "
            "the issuer to ocsp_ca_certificates",
            field="ocsp_ca_certificates",
        )


async def _checked(change: EntryChange[Revocations]) -> Revocations:
    from protocols.pki.client_certificate import parse_revocations

    try:
        parse_revocations(change.new.crl)
    except PkiError as error:
        raise ValidationError("crl_invalid", str(error), field="crl") from None
    return change.new


def _colons(hexadecimal: str) -> str:
    return ":".join(hexadecimal[i : i + 2] for i in range(0, len(hexadecimal), 2))
