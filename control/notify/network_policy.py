"""Which addresses may be contacted for others, who must not reach the inside by them (SSRF).

A name is resolved once, every address of it has to be allowed, and the connection goes to the one
that was checked: a name that resolves otherwise a moment later changes nothing (DNS rebinding).
"""

import logging
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import trio
from msgspec import Struct

from control.errors import ValidationError
from control.notify.errors import UNREACHABLE, PermanentDeliveryError, TransientDeliveryError
from protocols.outbound import (
    Address,
    Resolver,
    TargetUrl,
    embedded_ipv4,
    is_literal,
    is_public,
    parse_target,
)

Network: TypeAlias = IPv4Network | IPv6Network

MAIL_PORTS: Final = frozenset({25, 465, 587, 2525})
LOOKUP_SECONDS: Final = 5.0
ANY_NETWORK: Final = ("0.0.0.0/0", "::/0")  # for what an operator has named
log: Final = logging.getLogger("freehold.control.notify")


class NetworkPolicy(Struct, frozen=True):
    """`private`: networks that are allowed beside the public ones.

    `development`: plain http, plain mail and any port, on this machine.
    """

    private: tuple[str, ...] = ()
    development: bool = False

    def parse_url(self, url: str) -> TargetUrl:
        """The parsed URL. Raises `ValidationError`; its address is checked later."""
        try:
            place = parse_target(url)
        except (ValueError, UnicodeError):
            raise _invalid_url() from None
        if place.scheme != "https" and not self.development:
            raise _invalid_url()
        return place

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
                if is_literal(host):  # the rule alone says so: nothing was asked
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
        return is_public(address)

    def _networks(self, address: Address) -> list[Network]:
        networks = (ip_network(text) for text in self.private)
        return [network for network in networks if network.version == address.version]


async def _resolved(host: str, port: int, resolver: Resolver) -> list[str]:
    if is_literal(host):
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
