"""Which addresses may be contacted for others, who must not reach the inside by them (SSRF).

A name is resolved once, every address of it has to be allowed, and the connection goes to the one
that was checked: a name that resolves otherwise a moment later changes nothing (DNS rebinding).
"""

import logging
from collections.abc import Awaitable, Callable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import trio
from msgspec import Struct

from control.errors import ValidationError
from control.notify.errors import UNREACHABLE, PermanentDeliveryError, TransientDeliveryError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

HTTPS: Final = 443
HTTP: Final = 80
MAIL_PORTS: Final = frozenset({25, 465, 587, 2525})
MAX_URL: Final = 2048
LOOKUP_SECONDS: Final = 5.0
ANY_NETWORK: Final = ("0.0.0.0/0", "::/0")  # for what an operator has named
log: Final = logging.getLogger("freehold.control.notify")
_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291, 2.4: what is global so far
_TUNNELS: Final = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))  # Teredo, 6to4
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1: the last 32 bits are an IPv4 address


class TargetUrl(NamedTuple):
    """A parsed URL: `path` with its query. `host` as TLS has to prove it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS if self.scheme == "https" else HTTP
        return name if self.port == usual else f"{name}:{self.port}"

    def url_at(self, address: str) -> str:
        """The URL at the checked address; `host` goes along as Host and for TLS."""
        pinned = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{pinned}:{self.port}{self.path}"


class NetworkPolicy(Struct, frozen=True):
    """`private`: networks that are allowed beside the public ones.

    `development`: plain http, plain mail and any port, on this machine.
    """

    private: tuple[str, ...] = ()
    development: bool = False

    def parse_url(self, url: str) -> TargetUrl:
        """The parsed URL. Raises `ValidationError`; its address is checked later."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host.encode("idna")
        except (ValueError, UnicodeError):
            raise _invalid_url() from None
        odd = any(not "!" <= c <= "~" or c == "\\" for c in url)
        if odd or not host or len(url) > MAX_URL or "@" in parts.netloc or parts.fragment:
            raise _invalid_url()
        if parts.scheme != "https" and not (parts.scheme == "http" and self.development):
            raise _invalid_url()
        usual = HTTPS if parts.scheme == "https" else HTTP
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return TargetUrl(parts.scheme, host, usual if port is None else port, path)

    def check_mail(self, host: str, port: int, *, plain: bool) -> None:
        """Raise `ValidationError` for a mail server that must not be contacted."""
        if plain and not self.development:
            raise ValidationError("tls_needed", "mail needs TLS or STARTTLS", field="server")
        if port not in MAIL_PORTS and not self.development:
            ports = ", ".join(str(each) for each in sorted(MAIL_PORTS))
            raise ValidationError(
                "port_invalid", f"mail is sent to port {ports}: choose one of these", field="server"
            )
        if not host or any(not "!" <= c <= "~" for c in host):
            raise ValidationError(
                "host_invalid", "invalid host: give a name or an IP address", field="server"
            )

    async def resolve_address(
        self, host: str, port: int, resolver: Resolver, *, plain: bool = False
    ) -> str:
        """The one address to connect to. Raises `DeliveryError`; `plain` goes to loopback alone.

        Of several addresses the first; if any of them is not allowed, none. A host without an
        address and one at an address that is not allowed get the same error; the log says which.
        """
        found = [ip_address(each) for each in await _resolved(host, port, resolver)]
        if not found:
            raise unreachable_error(host, "it has no address")
        for each in found:
            if plain and not each.is_loopback:
                raise PermanentDeliveryError(
                    "without TLS only this machine is asked: switch TLS on"
                )
            if not self.is_allowed(each):
                if _is_literal(host):  # the rule alone says so: nothing was asked
                    raise PermanentDeliveryError(
                        "this is a private address: notify.private in the settings can allow it"
                    )
                raise unreachable_error(host, f"its address {each} is not allowed")
        return str(found[0])

    def is_allowed(self, address: Address) -> bool:
        """Whether it is public, or in a network that the settings name."""
        if any(address in network for network in self._networks(address)):
            return True
        inner = embedded_ipv4(address)
        if inner is not None:
            return self.is_allowed(inner)
        if self.development and address.is_loopback:
            return True
        if isinstance(address, IPv6Address) and not _is_native(address):
            return False
        return address.is_global and not address.is_multicast and not address.is_reserved

    def _networks(self, address: Address) -> list[Network]:
        networks = (ip_network(text) for text in self.private)
        return [network for network in networks if network.version == address.version]


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, or by NAT64."""
    if not isinstance(address, IPv6Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def _is_native(address: IPv6Address) -> bool:
    """Global unicast, and no tunnel to an IPv4 address."""
    return address in _UNICAST and not any(address in tunnel for tunnel in _TUNNELS)


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver. Raises `OSError`, `UnicodeError`."""
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _resolved(host: str, port: int, resolver: Resolver) -> list[str]:
    if _is_literal(host):
        return [host]
    try:
        with trio.fail_after(LOOKUP_SECONDS):
            return await resolver(host, port)
    except (OSError, UnicodeError, trio.TooSlowError):
        raise unreachable_error(host, "its name does not resolve") from None


def unreachable_error(host: str, why: str) -> TransientDeliveryError:
    """The error for an unreachable host; `why` goes to the operator's log alone."""
    log.warning("host %s is not reached: %s", host, why)
    return TransientDeliveryError(UNREACHABLE)


def _invalid_url() -> ValidationError:
    return ValidationError("url_invalid", "this needs an https address", field="url")
