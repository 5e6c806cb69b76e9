"""Which proxies are believed: the same keys for the agent and the control plane."""

from collections.abc import Callable
from ipaddress import ip_network

from pydantic import Field, field_validator

from protocols.http.asgi import App, MakeRefusal, MakeUnreadRefusal
from protocols.http.local_only import LocalOnly
from protocols.http.trusted_proxies import ForwardingHeader, ProxyMiddleware, TrustedProxies
from protocols.settings.field_types import Section


class ProxySettings(Section):
    """What is between clients and us. No `addresses`: nothing, and no header is believed.

    `addresses`: of the proxies, or networks (`10.1.2.0/28`) in which nobody else is. `header`: the
    one that all of them write.
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

    def trust_predicate(self) -> Callable[[str], bool]:
        """Whether a connection from an address is a proxy's."""
        return TrustedProxies(self.addresses, self.header).trusts

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
        if self.addresses:
            return ProxyMiddleware(app, TrustedProxies(self.addresses, self.header))
        return app if tls else LocalOnly(app, refuse, refuse_unread)
