"""The method `cert`: the TLS certificate of the connection says who somebody is.

TLS has verified the certificate against `server.tls.ca_file`; a role says which of those it takes.
A token counts on connections with its certificate alone, unless the mount is told otherwise.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, convert
from msgspec.structs import replace

from actors.world import World
from protocols.pki.errors import PkiError
from vault.authn.methods.documents import checked_token_fields, exact_name
from vault.authn.methods.method import (
    CONFIG,
    Action,
    EntryChange,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenFields,
)
from vault.errors import ValidationError
from vault.model.records import AuthMountRow, TokenRow

if TYPE_CHECKING:
    from protocols.pki.client_certificate import ClientCertificate

MAX_ROLES: Final = 200  # that are tried for a login that names none
MAX_CRLS: Final = 16
MAX_PATTERNS: Final = 64
CERTS: Final = "certs"
CRLS: Final = "crls"
_NAME: Final = "name"
_ANY_OF_NAMES: Final = "allowed_names"
_REFUSED: Final = "invalid certificate or no client certificate supplied"


class CertConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`disable_binding`: a token counts on any connection, with whatever certificate or none."""

    disable_binding: bool = False
    enable_identity_alias_metadata: bool = False
    ocsp_cache_size: int = 100


class CertRole(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Which certificates get which token. Patterns may have `*`; none given: any value.

    `certificate`: PEM of authorities, or of one client. `required_extensions`: `OID:PATTERN`.
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


class Revocations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of revoked certificates, in PEM."""

    crl: str


class CertMethod:
    """See `LoginMethod`."""

    type: Final = "cert"
    login_paths: Final = ("login",)

    def __init__(self, entries: EntryReader, world: World) -> None:
        self._entries = entries
        self._world = world
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
        lists = await self._revocations(mount)
        for name in await self._candidates(request):
            entry = await self._entries.get(mount.id, CERTS, name)
            if entry is None:
                continue
            role = convert(entry.document, CertRole)
            found = self._matching(role, der, lists)
            if found is not None:
                return await self._result(mount, name, role, found)
        raise LoginRefusedError("login_refused", _REFUSED)

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
        return await self._entries.list_names(request.mount.id, CERTS, limit=MAX_ROLES)

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

    async def _result(
        self, mount: AuthMountRow, name: str, role: CertRole, found: "ClientCertificate"
    ) -> LoginResult:
        entry = await self._entries.get(mount.id, CONFIG, CONFIG)
        config = CertConfig() if entry is None else convert(entry.document, CertConfig)
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
    if new.ocsp_enabled:
        raise ValidationError(
            "ocsp_unsupported",
            "OCSP is not asked: write a revocation list to crls/NAME, and leave ocsp_enabled",
            field="ocsp_enabled",
        )
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


async def _checked(change: EntryChange[Revocations]) -> Revocations:
    from protocols.pki.client_certificate import parse_revocations

    try:
        parse_revocations(change.new.crl)
    except PkiError as error:
        raise ValidationError("crl_invalid", str(error), field="crl") from None
    return change.new


def _colons(hexadecimal: str) -> str:
    return ":".join(hexadecimal[i : i + 2] for i in range(0, len(hexadecimal), 2))
