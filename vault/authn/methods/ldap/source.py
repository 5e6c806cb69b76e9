"""Questions to a directory: who somebody is, whether the password is right, in which groups.

Blocking: for a thread. A question takes as long as the configuration allows, whichever server is
slow.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from protocols.instant import SECOND
from protocols.outbound import AddressClass, classify, is_loopback
from vault.authn.methods.ldap.config import LdapConfig, fill
from vault.authn.methods.method import MAX_GROUPS
from vault.connections.deadline import Deadline
from vault.connections.ldap import (
    Directory,
    LdapAddress,
    common_name,
    connected,
    escape_filter,
    escape_name,
    is_tls_failure,
    load_library,
)
from vault.connections.tls import pem_file
from vault.errors import UnavailableError
from vault.model.server_address import ServerTls

MAX_DEPTH: Final = 8  # of groups within groups
_LOCKED: Final = ("pwdAccountLockedTime", "nsAccountLock")
_CONTROL: Final = "userAccountControl"  # Active Directory's, of which bit 2 says: disabled
_DISABLED: Final = 2
_MEMBERS: Final = "(|(member={dn})(uniqueMember={dn}))"
_ANY: Final = "(objectClass=*)"


class NotProvenError(Exception):
    """The name is unknown, or the password wrong, or the entry disabled: nobody is told which."""


class ConfigurationFaultError(Exception):
    """The directory refuses what is configured. The text is for the administrator's log."""


@dataclass(frozen=True, kw_only=True)
class DirectoryUser:
    """Somebody as the directory has them."""

    dn: str
    name: str
    """The value of the attribute that the person is found by, as the directory spells it."""
    groups: tuple[str, ...]


def log_in(
    config: LdapConfig, username: str, password: str, clock: Callable[[], float]
) -> DirectoryUser:
    """Who has this name and password. Raises `NotProvenError` and as `look_up`."""
    with _asked(config, clock) as directory:
        ldap = load_library()
        found = _find(directory, config, username) if config.searches else None
        # An unknown name costs the directory what a known one does.
        dn = _made_name(config, username) if found is None else found[0]
        try:
            directory.bind(dn, password)
        except (
            ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT,
            ldap.INVALID_DN_SYNTAX, ldap.UNWILLING_TO_PERFORM, ldap.CONSTRAINT_VIOLATION,
        ):  # fmt: skip
            raise NotProvenError from None
        if config.searches and found is None:
            raise NotProvenError
        if found is None:
            found = _own_entry(directory, config, dn, username)
        else:
            _bind_searcher(directory, config)
        dn, fields = found
        return _user(directory, config, dn, fields, username)


def look_up(config: LdapConfig, username: str, clock: Callable[[], float]) -> DirectoryUser:
    """Who has this name, without a password: whether they are still there.

    Raises `NotProvenError` for nobody, `UnavailableError` (`source_unavailable`) when no server
    answers, and `ConfigurationFaultError`.
    """
    with _asked(config, clock) as directory:
        found = _find(directory, config, username)
        if found is None:
            raise NotProvenError
        return _user(directory, config, found[0], found[1], username)


Entry = tuple[str, dict[str, list[bytes]]]


def _find(directory: Directory, config: LdapConfig, username: str) -> Entry | None:
    """The one entry of a name; None for none. Two would let one pass for the other."""
    _bind_searcher(directory, config)
    ldap = load_library()
    filled = fill(
        config.userfilter,
        {".UserAttr": config.userattr, ".Username": escape_filter(username)},
    )
    attributes = [config.userattr, _CONTROL, *_LOCKED]
    try:
        found = directory.search(config.userdn, ldap.SCOPE_SUBTREE, filled, attributes, 2)
    except ldap.SIZELIMIT_EXCEEDED:
        return None
    return found[0] if len(found) == 1 else None


def _bind_searcher(directory: Directory, config: LdapConfig) -> None:
    ldap = load_library()
    if not config.binddn:
        directory.bind("", "")
        return
    try:
        directory.bind(config.binddn, config.bindpass)
    except (ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT):
        raise ConfigurationFaultError("the directory refuses binddn with bindpass") from None


def _made_name(config: LdapConfig, username: str) -> str:
    if config.upndomain:
        return f"{username}@{config.upndomain}"
    return f"{config.userattr}={escape_name(username)},{config.userdn}"


def _own_entry(directory: Directory, config: LdapConfig, dn: str, username: str) -> Entry:
    """The entry of who has just logged in, as far as they may read it."""
    ldap = load_library()
    if config.upndomain:
        filled = f"(userPrincipalName={escape_filter(dn)})"
        found = directory.search(
            config.userdn, ldap.SCOPE_SUBTREE, filled, [config.userattr, _CONTROL], 2
        )
        if len(found) != 1:
            raise NotProvenError
        return found[0]
    try:
        found = directory.search(dn, ldap.SCOPE_BASE, _ANY, [config.userattr], 1)
    except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
        found = []
    return found[0] if found else (dn, {config.userattr: [username.encode()]})


def _user(
    directory: Directory,
    config: LdapConfig,
    dn: str,
    fields: dict[str, list[bytes]],
    username: str,
) -> DirectoryUser:
    known = {name.lower(): values for name, values in fields.items()}
    if _is_disabled(known):
        raise NotProvenError
    names = known.get(config.userattr.lower(), [])
    name = names[0].decode(errors="replace") if len(names) == 1 else username
    return DirectoryUser(dn=dn, name=name, groups=_groups(directory, config, dn, username))


def _is_disabled(fields: dict[str, list[bytes]]) -> bool:
    control = fields.get(_CONTROL.lower(), [b"0"])[0]
    if control.isdigit() and int(control) & _DISABLED:
        return True
    values = (fields.get(name.lower(), [b""])[0] for name in _LOCKED)
    return any(value not in {b"", b"false", b"FALSE"} for value in values)


def _groups(directory: Directory, config: LdapConfig, dn: str, username: str) -> tuple[str, ...]:
    """The groups of an entry. Raises `ConfigurationFaultError` where there are too many.

    None is left out for that: it could be the one that denies.
    """
    if not config.groupdn:
        return ()
    first = fill(
        config.groupfilter, {".UserDN": escape_filter(dn), ".Username": escape_filter(username)}
    )
    names: dict[str, None] = {}
    seen: set[str] = set()
    filters = [first]
    for _ in range(MAX_DEPTH):
        reached = [one for text in filters for one in _search_groups(directory, config, text)]
        new = [(group, fields) for group, fields in reached if group.lower() not in seen]
        seen.update(group.lower() for group, _ in new)
        for group, fields in new:
            names.update(dict.fromkeys(_group_names(config, group, fields)))
        if len(names) > MAX_GROUPS or len(seen) > MAX_GROUPS:
            raise ConfigurationFaultError(
                f"somebody is in more than {MAX_GROUPS} groups: make groupfilter narrower"
            )
        if not new or not config.nested_groups:
            return tuple(names)
        filters = [_MEMBERS.format(dn=escape_filter(group)) for group, _ in new]
    raise ConfigurationFaultError(f"groups are nested more than {MAX_DEPTH} deep")


def _search_groups(directory: Directory, config: LdapConfig, filled: str) -> list[Entry]:
    ldap = load_library()
    try:
        return directory.search(
            config.groupdn, ldap.SCOPE_SUBTREE, filled, [config.groupattr], MAX_GROUPS + 1
        )
    except ldap.SIZELIMIT_EXCEEDED:
        raise ConfigurationFaultError(
            f"somebody is in more than {MAX_GROUPS} groups: make groupfilter narrower"
        ) from None


def _group_names(config: LdapConfig, group: str, fields: dict[str, list[bytes]]) -> list[str]:
    """Of a group its name; of a person, whose attribute names groups, all of these."""
    known = {name.lower(): values for name, values in fields.items()}
    values = known.get(config.groupattr.lower(), [])
    if not values:
        return [common_name(group)]
    return [common_name(value.decode(errors="replace")) for value in values]


@contextmanager
def _asked(config: LdapConfig, clock: Callable[[], float]) -> Iterator[Directory]:
    """A connection to the first server that answers."""
    try:
        ldap: Any = load_library()
    except ImportError:
        raise ConfigurationFaultError(
            "python-ldap is not installed: pip install 'freehold[ldap]'"
        ) from None
    deadline = Deadline(config.request_timeout / SECOND, clock)
    with ExitStack() as stack:
        try:
            yield _first_that_answers(ldap, config, deadline, clock, stack)
        except (
            ldap.SERVER_DOWN, ldap.TIMEOUT, ldap.TIMELIMIT_EXCEEDED, ldap.UNAVAILABLE, ldap.BUSY,
            ldap.CONNECT_ERROR, TimeoutError,
        ):  # fmt: skip
            raise unavailable() from None
        except ldap.LDAPError as error:
            raise ConfigurationFaultError(
                f"the directory refuses the question ({type(error).__name__})"
            ) from None


def _first_that_answers(
    ldap: Any,
    config: LdapConfig,
    deadline: Deadline,
    clock: Callable[[], float],
    stack: ExitStack,
) -> Directory:
    """Connect to the servers in order. A silent one leaves each of the others its share of time."""
    addresses = config.addresses
    for last, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
        _require_allowed(address)
        attempt = stack.enter_context(ExitStack())
        tls = None
        if address.scheme == "ldaps" or config.starttls:
            tls = _tls(config, attempt)
        share = min(config.connection_timeout / SECOND, deadline.left() / (last + 1))
        try:
            directory = attempt.enter_context(connected(address, tls, Deadline(share, clock)))
            _greet(ldap, directory)
        except (ldap.SERVER_DOWN, ldap.TIMEOUT, ldap.CONNECT_ERROR, TimeoutError) as error:
            attempt.close()
            if is_tls_failure(ldap, error):
                raise ConfigurationFaultError(
                    "TLS to the directory fails: check its name and certificate"
                ) from None
            if not last:
                raise
        else:
            return directory.until(deadline)
    raise unavailable()


def _require_allowed(address: LdapAddress) -> None:
    """Raise `ConfigurationFaultError` for an address where no directory is.

    That is of a link, where clouds keep credentials, or reserved; and this machine's unless the URL
    says so. libldap resolves the name again, so this is no guard against a name that changes.
    """
    most = AddressClass.LOOPBACK if is_loopback(address.host) else AddressClass.PRIVATE
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # the library says so, too
    for *_, place in found:
        if classify(ip_address(str(place[0]).partition("%")[0])) > most:
            raise ConfigurationFaultError("its address is not one to connect to")


def _greet(ldap: Any, directory: Directory) -> None:
    """Ask for what strangers may read, or may not: until then nothing was sent."""
    try:
        directory.run("search", "", ldap.SCOPE_BASE, _ANY, ["1.1"])
    except (ldap.INSUFFICIENT_ACCESS, ldap.OPERATIONS_ERROR, ldap.NO_SUCH_OBJECT):
        return


def _tls(config: LdapConfig, stack: ExitStack) -> ServerTls:
    texts = (config.certificate, config.client_tls_cert, config.client_tls_key)
    files = [stack.enter_context(pem_file(text)) if text else None for text in texts]
    return ServerTls(ca_file=files[0], cert_file=files[1], key_file=files[2])


def unavailable() -> UnavailableError:
    """The error for a directory that cannot be asked."""
    return UnavailableError(
        "source_unavailable",
        "the directory does not answer, so nobody can log in with it; tokens go on: try again",
    )
