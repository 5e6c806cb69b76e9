"""What auth mounts of type `saml` keep: the provider, and roles."""

from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from protocols.instant import SECOND
from protocols.pki.errors import PkiError
from vault.authn.jwt.claims import BoundClaims
from vault.authn.jwt.source_client import check_source_url
from vault.authn.methods.documents import MAX_TEXTS, checked_token_fields
from vault.authn.methods.method import (
    MAX_METADATA,
    Duration,
    EntryChange,
    TokenFields,
)
from vault.authn.methods.saml.metadata import parse_metadata
from vault.authn.methods.saml.xml import InvalidXmlError
from vault.errors import ValidationError

MAX_CERTIFICATES: Final = 8  # of a provider: one that signs, and its successor
MAX_ACS_URLS: Final = 16
MAX_ENTITY_ID: Final = 1024  # characters (SAML Core, 8.3.6)
MAX_VALUES: Final = 200  # attributes, values and subjects of a role
MAX_LEEWAY: Final = 60 * SECOND
RESERVED_METADATA: Final = "role"  # says which role was used
METADATA: Final = "idp_metadata"
METADATA_URL: Final = "idp_metadata_url"
_BOUND_TYPES: Final = frozenset({"string", "glob"})


class SamlConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mount's configuration: the provider, and what it knows this agent as.

    `idp_cert`: PEM, the certificates that it signs with. `acs_urls`: where browsers bring its
    answers to. `validate_…_signature`: what must be signed by itself; one of the two always is.
    """

    idp_entity_id: str = ""
    idp_sso_url: str = ""
    idp_cert: str = ""
    entity_id: str = ""
    acs_urls: tuple[str, ...] = ()
    default_role: str = ""
    validate_assertion_signature: bool = False
    validate_response_signature: bool = False
    clock_skew_leeway: Duration = 30 * SECOND
    verbose_logging: bool = False  # taken from clients; answers are never logged


class SamlRole(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role: whom it is for, and who that is here.

    `alias_attribute`: the attribute that names somebody; empty: the subject does (NameID).
    `attribute_mappings`: attributes that become metadata. `allowed_redirect_uris`: where a browser
    goes once the provider has answered, beside the listener of a command line.
    """

    bound_subjects: tuple[str, ...] = ()
    bound_subjects_type: str = "string"
    bound_attributes: dict[str, Any] = field(default_factory=dict)
    bound_attributes_type: str = "string"
    groups_attribute: str = ""
    alias_attribute: str = ""
    attribute_mappings: dict[str, str] = field(default_factory=dict)
    allowed_redirect_uris: tuple[str, ...] = ()

    @property
    def subjects(self) -> BoundClaims:
        """As they are compared."""
        values = {"subject": self.bound_subjects} if self.bound_subjects else {}
        return BoundClaims(values=values, globs=self.bound_subjects_type == "glob")

    @property
    def attributes(self) -> BoundClaims:
        """As they are compared."""
        return BoundClaims(
            values={
                name: tuple(value) if isinstance(value, list) else (value,)
                for name, value in self.bound_attributes.items()
            },
            globs=self.bound_attributes_type == "glob",
        )


async def prepared_config(change: EntryChange[SamlConfig]) -> SamlConfig:
    """What is stored: with what the provider's metadata say. Raises `ValidationError`."""
    if change.given.get(METADATA_URL):
        raise _config_error(
            METADATA_URL, "metadata are not fetched: download them, and write them to idp_metadata"
        )
    new = change.new
    if metadata := change.given.get(METADATA):
        try:
            found = parse_metadata(metadata)
        except InvalidXmlError as error:
            raise _config_error(METADATA, f"idp_metadata: {error.reason}") from None
        new = replace(
            new,
            idp_entity_id=found.entity_id,
            idp_sso_url=found.sso_url,
            idp_cert=found.certificates,
        )
    _check_provider(new)
    _check_own(new)
    return new


async def prepared_role(change: EntryChange[SamlRole]) -> SamlRole:
    """Check a role before it is stored. Raises `ValidationError`."""
    role = checked_token_fields(change.new)
    for name in ("bound_subjects_type", "bound_attributes_type"):
        if getattr(role, name) not in _BOUND_TYPES:
            raise _role_error(name, f"{name} must be string or glob")
    for attribute, bound in role.bound_attributes.items():
        values = bound if isinstance(bound, list) else [bound]
        if not values or not all(isinstance(each, str) and each for each in values):
            raise _role_error("bound_attributes", "a bound attribute has one text or several")
        if len(values) > MAX_VALUES or attribute.startswith("/"):
            raise _role_error(
                "bound_attributes",
                f"a bound attribute has 1 to {MAX_VALUES} values, and no name that begins with /",
            )
    for uri in role.allowed_redirect_uris:
        check_source_url(uri, "allowed_redirect_uris")
    targets = list(role.attribute_mappings.values())
    if RESERVED_METADATA in targets or len(set(targets)) != len(targets):
        raise _role_error(
            "attribute_mappings",
            f"each attribute needs a metadata key of its own, other than {RESERVED_METADATA}",
        )
    if len(targets) >= MAX_METADATA or max(
        len(role.bound_attributes), len(role.bound_subjects), len(role.allowed_redirect_uris)
    ) > min(MAX_VALUES, MAX_TEXTS):
        raise _role_error("bound_attributes", f"a role has at most {MAX_VALUES} of a kind")
    return role


def _check_provider(config: SamlConfig) -> None:
    if not 0 < len(config.idp_entity_id) <= MAX_ENTITY_ID:
        raise _config_error("idp_entity_id", "idp_entity_id or idp_metadata must be set")
    check_source_url(config.idp_sso_url, "idp_sso_url")
    from protocols.pki.certificates import has_strong_key, parse_pem_chain

    try:
        found = parse_pem_chain(config.idp_cert.encode())
    except PkiError:
        found = []
    if not 0 < len(found) <= MAX_CERTIFICATES:
        raise _config_error(
            "idp_cert", f"idp_cert must be 1 to {MAX_CERTIFICATES} certificates in PEM"
        )
    if not all(has_strong_key(each) for each in found):
        raise _config_error(
            "idp_cert", "the provider's keys must be RSA of 2048 bits or more, or on a P-curve"
        )


def _check_own(config: SamlConfig) -> None:
    if not 0 < len(config.entity_id) <= MAX_ENTITY_ID:
        raise _config_error("entity_id", "entity_id must be set: what the provider knows us as")
    if not 0 < len(config.acs_urls) <= MAX_ACS_URLS:
        raise _config_error(
            "acs_urls",
            f"acs_urls must be 1 to {MAX_ACS_URLS} URLs that end with /v1/auth/MOUNT/callback",
        )
    for url in config.acs_urls:
        check_source_url(url, "acs_urls")
    if config.clock_skew_leeway > MAX_LEEWAY:
        raise _config_error(
            "clock_skew_leeway", f"clock_skew_leeway is at most {MAX_LEEWAY // SECOND} s"
        )


def _config_error(name: str, message: str) -> ValidationError:
    return ValidationError("config_invalid", message, field=name)


def _role_error(name: str, message: str) -> ValidationError:
    return ValidationError("role_invalid", message, field=name)
