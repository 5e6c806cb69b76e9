"""What is configured of a directory: OpenBao's fields, of which some have one value here."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from protocols.instant import SECOND
from vault.authn.methods.documents import (
    checked_policies,
    checked_token_fields,
    require_secret_again,
)
from vault.authn.methods.method import MAX_GROUPS, Duration, EntryChange, TokenFields
from vault.connections.ldap import LdapAddress, parse_ldap_address
from vault.errors import ValidationError
from vault.model.fold import fold_text

MAX_SERVERS: Final = 8
MAX_FILTER: Final = 1_000  # characters
MAX_TIMEOUT: Final = 30 * SECOND
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9;.-]{0,60}")
_PLACE: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_USER_PLACES: Final = frozenset({".UserAttr", ".Username"})
_GROUP_PLACES: Final = frozenset({".UserDN", ".Username"})
USER_FILTER: Final = "({{.UserAttr}}={{.Username}})"
GROUP_FILTER: Final = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"


class LdapConfig(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """How people of a directory are found. `url`: one server or several, in order of preference.

    A person is found below `userdn` by `userfilter`, asked as `binddn`; without that the name is
    made: `USERATTR=NAME,USERDN`, or `NAME@UPNDOMAIN`. `nested_groups`: groups of groups count, too.
    """

    url: str = "ldap://127.0.0.1"
    starttls: bool = False
    certificate: str = ""
    client_tls_cert: str = ""
    client_tls_key: str = ""
    tls_min_version: str = "tls12"
    tls_max_version: str = "tls13"
    insecure_tls: bool = False
    binddn: str = ""
    bindpass: str = ""
    discoverdn: bool = False
    userdn: str = ""
    userattr: str = "cn"
    userfilter: str = USER_FILTER
    upndomain: str = ""
    groupdn: str = ""
    groupattr: str = "cn"
    groupfilter: str = GROUP_FILTER
    nested_groups: bool = False
    anonymous_group_search: bool = False
    use_token_groups: bool = False
    username_as_alias: bool = False
    case_sensitive_names: bool = False
    deny_null_bind: bool = True
    dereference_aliases: str = "never"
    max_page_size: int = 0
    request_timeout: Duration = 10 * SECOND
    connection_timeout: Duration = 10 * SECOND

    @property
    def addresses(self) -> list[LdapAddress]:
        """The servers. Raises `ValueError`."""
        return [parse_ldap_address(part.strip()) for part in self.url.split(",")]

    @property
    def searches(self) -> bool:
        """Whether the person is looked for before the password is tried."""
        return bool(self.binddn) or self.discoverdn


class LdapGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of the directory, or one that users are put into here."""

    policies: tuple[str, ...] = ()


class LdapUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody of the directory: policies and groups beside those that the directory says."""

    policies: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def canonical(name: str) -> str:
    """A name as a directory compares it: without case and compatibility forms (RFC 4518).

    Spaces around it are refused.
    """
    if name != " ".join(name.split()) or not name or not name.isprintable():
        raise ValidationError(
            "name_invalid",
            "a name has 1 to 512 printable characters, and single spaces within it only",
            field="name",
        )
    return fold_text(name)


def without_marks(name: str) -> str:
    """A canonical name without accents: Active Directory takes `ádmin` for `admin`."""
    parts = unicodedata.normalize("NFKD", name)
    return "".join(each for each in parts if unicodedata.category(each) != "Mn")


async def prepared(change: EntryChange[LdapConfig]) -> LdapConfig:
    """What is stored. Raises `ValidationError` for what would be unsafe or cannot work."""
    new = change.new
    _refuse_unserved(new)
    require_secret_again(change, "bindpass", ("url", "starttls", "certificate"))
    new = checked_token_fields(new)
    try:
        addresses = new.addresses
    except ValueError as error:
        raise _invalid("url", f"url {error}") from None
    if len(addresses) > MAX_SERVERS:
        raise _invalid("url", f"url has more than {MAX_SERVERS} servers")
    for address in addresses:
        if address.socket:
            raise _invalid("url", "url must be ldap:// or ldaps://: sockets are this machine's")
        if address.scheme == "ldap" and not new.starttls and not address.is_local:
            raise _invalid(
                "url",
                "passwords would be readable on the way: use ldaps:// or set starttls",
            )
    if bool(new.binddn) != bool(new.bindpass):
        raise _invalid("bindpass", "binddn and bindpass belong together")
    if bool(new.client_tls_cert) != bool(new.client_tls_key):
        raise _invalid("client_tls_key", "client_tls_cert and client_tls_key belong together")
    for field in ("userattr", "groupattr"):
        if not _ATTRIBUTE.fullmatch(getattr(new, field)):
            raise _invalid(field, f"{field} is no name of an attribute")
    new = replace(
        new,
        userfilter=new.userfilter or USER_FILTER,
        groupfilter=new.groupfilter or GROUP_FILTER,
    )
    _check_filter("userfilter", new.userfilter, _USER_PLACES)
    _check_filter("groupfilter", new.groupfilter, _GROUP_PLACES)
    for field in ("request_timeout", "connection_timeout"):
        if not 0 < getattr(new, field) <= MAX_TIMEOUT:
            raise _invalid(field, f"{field} is 1 to {MAX_TIMEOUT // SECOND} seconds")
    return new


async def prepared_group(change: EntryChange[LdapGroup]) -> LdapGroup:
    """What is stored of a group. Raises `ValidationError`."""
    return LdapGroup(policies=checked_policies(change.new.policies, "policies"))


async def prepared_user(change: EntryChange[LdapUser]) -> LdapUser:
    """What is stored of a user. Raises `ValidationError`."""
    new = change.new
    if len(new.groups) > MAX_GROUPS:
        raise _invalid("groups", f"a user is in at most {MAX_GROUPS} groups")
    groups = tuple(dict.fromkeys(canonical(name) for name in new.groups))
    return LdapUser(policies=checked_policies(new.policies, "policies"), groups=groups)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The filter with these values, which are escaped already."""
    return _PLACE.sub(lambda found: values[found[1]], template)


def _check_filter(field: str, template: str, known: frozenset[str]) -> None:
    unknown = set(_PLACE.findall(template)) - known
    if unknown or "{{" in _PLACE.sub("", template):
        raise _invalid(field, f"{field} may have {', '.join(sorted(known))} in double braces only")
    filled = fill(template, dict.fromkeys(known, "x"))
    depth = 0
    for character in filled:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth or not filled.startswith("(") or len(template) > MAX_FILTER:
        raise _invalid(field, f"{field} is no filter: its parentheses do not match")


_ONE_VALUE: Final[Mapping[str, Any]] = {
    "insecure_tls": False,
    "deny_null_bind": True,
    "use_token_groups": False,
    "anonymous_group_search": False,
    "tls_min_version": {"tls12", "tls13"},
    "tls_max_version": {"tls12", "tls13"},
    "dereference_aliases": "never",
}


def _refuse_unserved(config: LdapConfig) -> None:
    """Raise `ValidationError` for a setting that would be forgotten, or is never safe."""
    for field, served in _ONE_VALUE.items():
        value = getattr(config, field)
        if value not in (served if isinstance(served, set) else {served}):
            shown = sorted(served) if isinstance(served, set) else served
            raise _invalid(field, f"{field} can be {str(shown).lower()} only")


def _invalid(field: str, text: str) -> ValidationError:
    return ValidationError("ldap_config_invalid", text, field=field)
