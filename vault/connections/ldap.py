"""Connections to directories, by python-ldap (`pip install 'freehold[ldap]'`).

Blocking: for a thread. Each wait ends with the deadline, and referrals are not followed: they lead
to servers that nobody named.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from vault.connections.deadline import Deadline
from vault.model.server_address import ServerTls

_PORTS: Final = {"ldap": 389, "ldaps": 636}
_FORM: Final = "is none of ldap://HOST[:PORT], ldaps://… and ldapi://%2FPATH"
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_TLS_1_2: Final = 0x303  # OPT_X_TLS_PROTOCOL_MIN


class LdapAddress(Struct, frozen=True, kw_only=True):
    """One directory server."""

    scheme: str
    host: str
    port: int = 0
    socket: str = ""

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return bool(self.socket) or (self.scheme == "ldap" and self.host in _LOCAL)

    @property
    def uri(self) -> str:
        """As libldap takes it."""
        if self.socket:
            return f"ldapi://{self.socket.replace('/', '%2F')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_ldap_address(url: str) -> LdapAddress:
    """Raises `ValueError`, whose text repeats nothing of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    if not url.isprintable() or parts.query or parts.fragment or parts.username:
        raise ValueError(_FORM)
    if parts.scheme == "ldapi" and unquote(parts.netloc).startswith("/"):
        return LdapAddress(scheme="ldapi", host="", socket=unquote(parts.netloc))
    if parts.scheme not in _PORTS or not host or parts.path.strip("/"):
        raise ValueError(_FORM)
    return LdapAddress(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme])


def load_library() -> ModuleType:
    """python-ldap. Raises `ImportError`."""
    import ldap  # type: ignore[import-untyped]

    module: ModuleType = ldap
    return module


class Directory:
    """A connection to a directory server. Raises `ldap.LDAPError`, and as the deadline."""

    def __init__(self, ldap: ModuleType, connection: Any, deadline: Deadline) -> None:
        self._ldap = ldap
        self._connection = connection
        self._deadline = deadline

    def until(self, deadline: Deadline) -> "Directory":
        """Return the same connection with another end of its waits."""
        return Directory(self._ldap, self._connection, deadline)

    def bind(self, dn: str, password: str) -> None:
        """Log in as an entry. An empty password is the caller's to refuse: it logs in as nobody."""
        self.run("simple_bind", dn, password)

    def run(self, start: str, *args: Any) -> Any:
        """Start an operation and wait for its result, as long as there is time."""
        number = getattr(self._connection, start)(*args)
        return self._connection.result(number, timeout=self._deadline.left())[1]

    def search(
        self, base: str, scope: int, filter_: str, attributes: Sequence[str], most: int
    ) -> list[tuple[str, dict[str, list[bytes]]]]:
        """Up to `most` entries: name and attributes. Raises `SIZELIMIT_EXCEEDED` beyond that."""
        number = self._connection.search_ext(
            base, scope, filter_, list(attributes), timeout=self._deadline.left(), sizelimit=most
        )
        found = self._connection.result(number, timeout=self._deadline.left())[1]
        return [(dn, fields) for dn, fields in found if dn is not None]


@contextmanager
def connected(
    address: LdapAddress, tls: ServerTls | None, deadline: Deadline
) -> Iterator[Directory]:
    """A connection for the length of the block, not bound yet; over `ldap` TLS is begun on it.

    `tls` None: without. Raises `ImportError` without python-ldap, and `ldap.LDAPError`.
    """
    ldap = load_library()
    connection: Any = None
    try:
        connection = ldap.initialize(address.uri, bytes_mode=False)
        connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
        connection.set_option(ldap.OPT_REFERRALS, 0)
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, deadline.left())
        connection.set_option(ldap.OPT_TIMEOUT, deadline.left())
        if tls is not None:
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, _TLS_1_2)
            for option, file in (
                (ldap.OPT_X_TLS_CACERTFILE, tls.ca_file),
                (ldap.OPT_X_TLS_CERTFILE, tls.cert_file),
                (ldap.OPT_X_TLS_KEYFILE, tls.key_file),
            ):
                if file is not None:
                    connection.set_option(option, str(file))
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
            if address.scheme == "ldap":
                connection.start_tls_s()
        yield Directory(ldap, connection, deadline)
    finally:
        if connection is not None:
            _unbind(ldap, connection)


def is_tls_failure(ldap: ModuleType, error: Exception) -> bool:
    """Whether a connection failed for its certificates: libldap says so in words only."""
    text = str(error).lower()
    return isinstance(error, ldap.CONNECT_ERROR) or (
        isinstance(error, ldap.SERVER_DOWN) and ("certificate" in text or "tls" in text)
    )


def _unbind(ldap: ModuleType, connection: Any) -> None:
    try:
        connection.unbind()
    except ldap.LDAPError:
        return  # the connection is gone already, which is what an unbind is for


def escape_filter(text: str) -> str:
    """A value within a filter (RFC 4515, section 3)."""
    from ldap.filter import escape_filter_chars  # type: ignore[import-untyped]

    escaped: str = escape_filter_chars(text)
    return escaped


def escape_name(text: str) -> str:
    """A value within a distinguished name (RFC 4514, section 2.4)."""
    from ldap.dn import escape_dn_chars  # type: ignore[import-untyped]

    escaped: str = escape_dn_chars(text)
    return escaped


def common_name(dn: str) -> str:
    """The first `cn` of a distinguished name; a text that is no such name as it is."""
    import ldap.dn

    try:
        parts = ldap.dn.str2dn(dn)
    except ldap.DECODING_ERROR:
        return dn
    return next((value for rdn in parts for kind, value, _ in rdn if kind.lower() == "cn"), dn)
