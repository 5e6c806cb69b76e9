"""Which proxies are believed: the same keys for the agent and the control plane."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Self

from pydantic import Field, field_validator, model_validator

from protocols.http.asgi import App, MakeRefusal, MakeUnreadRefusal
from protocols.http.local_only import LocalOnly
from protocols.http.trusted_proxies import (
    ForwardingHeader,
    ProxyMiddleware,
    ProxyTrust,
    TrustedProxies,
)
from protocols.settings.field_types import Section


class ProxySettings(Section):
    """What is between clients and us. No `addresses`: nothing, and no header is believed.

    `addresses`: of the proxies, or networks (`10.1.2.0/28`) in which nobody else is. `header`: the
    one that all of them write; `proxy-protocol` for proxies that forward TCP connections.
    """

    addresses: tuple[str, ...] = Field(default=(), max_length=64)
    header: ForwardingHeader = ForwardingHeader.X_FORWARDED_FOR

    @field_validator("addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not ip_network(each).prefixlen:
                raise ValueError("everybody would be a proxy: name the proxies' own addresses")
        return value

    @model_validator(mode="after")
    def _needs_addresses(self) -> Self:
        if self.header is ForwardingHeader.PROXY_PROTOCOL and not self.addresses:
            raise ValueError(
                "nobody's PROXY protocol header is believed: name the proxies in "
                "server.proxies.addresses"
            )
        return self

    def trust_predicate(self) -> Callable[[str], ProxyTrust]:
        """Whether a connection from an address is a proxy's, and how that names its clients."""
        return TrustedProxies(self.addresses, self.header).trust

    def wrap_app(
        self,
        app: App,
        *,
        tls: bool,
        refuse: MakeRefusal,
        refuse_unread: MakeUnreadRefusal | None = None,
    ) -> App:
        """The application as the clients of the proxies reach it.

        Without proxies and without TLS all clients are on this machine and have to name it:
        `refuse_unread`, or else `refuse`, makes the answer to others.
        """
        if self.header is ForwardingHeader.PROXY_PROTOCOL:
            return app  # the server knows the client already
        if self.addresses:
            return ProxyMiddleware(app, TrustedProxies(self.addresses, self.header))
        return app if tls else LocalOnly(app, refuse, refuse_unread)
