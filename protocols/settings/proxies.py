"""Which proxies are believed: the same keys for the agent and the control plane."""

from collections.abc import Callable
from ipaddress import ip_network

from pydantic import Field, field_validator

from protocols.http.local import LocalOnly
from protocols.http.proxies import Behind, Header, Proxies
from protocols.http.scope import App, Refuse, RefuseUnread
from protocols.settings.units import Section


class Proxied(Section):
    """What is between clients and us. No `addresses`: nothing, and no header is believed.

    `addresses`: of the proxies, or networks (`10.1.2.0/28`) in which nobody else is. `header`: the
    one that all of them write.
    """

    addresses: tuple[str, ...] = Field(default=(), max_length=64)
    header: Header = Header.X_FORWARDED_FOR

    @field_validator("addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not ip_network(each).prefixlen:
                raise ValueError("everybody would be a proxy: name the proxies' own addresses")
        return value

    def trusts(self) -> Callable[[str], bool]:
        """Whether a connection from an address is a proxy's."""
        return Proxies(self.addresses, self.header).trusts

    def around(
        self,
        app: App,
        *,
        tls: bool,
        refuse: Refuse,
        refuse_unread: RefuseUnread | None = None,
    ) -> App:
        """The application as the clients of the proxies reach it.

        Without proxies and without TLS all clients are on this machine and have to name it:
        `refuse_unread`, or else `refuse`, makes the answer to others.
        """
        if self.addresses:
            return Behind(app, Proxies(self.addresses, self.header))
        return app if tls else LocalOnly(app, refuse, refuse_unread)
