"""The listener's certificate: made at the start, renewed in time, and after each rollover step.

Connections made after a change have the new certificate and the new trust; those that are open stay
as they are. Nothing needs a restart, and `freehold control ca rollover …` does not signal this
process, which reads the authority's state.
"""

import ssl
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from actors import World
from control.ca.certificate_authority import CertificateAuthority
from protocols.link_transport.tls_contexts import server_context
from protocols.pki.certificates import parse_pem_chain, to_der, validity_period
from protocols.pki.files import read_file
from protocols.pki.issuance import Host
from protocols.pki.keys import sha256
from protocols.pki.profile import renewal_time

CHECK_INTERVAL: Final = 30.0
"""Seconds; after a rollover step it may take as long until new connections see it."""


class ServerCertificate:
    """Reads and writes files when it is made. Raises `PkiError` and `ControlError`."""

    def __init__(
        self, ca: CertificateAuthority, hosts: Sequence[Host], world: World, name: str = "server"
    ) -> None:
        """`name`: of its files, one for each process that may share the authority's folder."""
        self._name = name
        self._ca = ca
        self._hosts = hosts
        self._world = world
        self._leaves: WeakKeyDictionary[ssl.SSLContext, bytes] = WeakKeyDictionary()
        self._made = self._due = 0
        self._state = ca.directory.read_state()
        self._context = self._make_context()

    @property
    def context(self) -> ssl.SSLContext:
        """The context of new connections. Peers without a certificate may only ask for one."""
        return self._context

    def leaf_digest(self, context: ssl.SSLContext) -> bytes:
        """SHA-256 over the certificate that connections of this context have seen."""
        return self._leaves[context]

    async def refresh(self) -> None:
        """Renew what is due; follow a rollover. Raises `PkiError`, `ControlError`."""
        await self._world.run_sync(self._refresh)

    def _refresh(self) -> None:
        state = self._ca.directory.read_state()
        # Before it was made: a clock that was ahead then has been set right.
        if state == self._state and self._made <= self._world.wall() < self._due:
            return
        self._ca.issuer.issuing_state = self._ca.directory.issuing_state()
        self._context = self._make_context()
        self._state = state

    def _make_context(self) -> ssl.SSLContext:
        directory, now = self._ca.directory, self._world.wall()
        identity = directory.issue_server_certificate(self._hosts, now, self._name)
        standing = directory.issuing_state()
        context = server_context(
            identity,
            standing.trust,
            clients=ssl.CERT_OPTIONAL,
            issuers=[standing.authority.certificate],
        )
        leaf = parse_pem_chain(read_file(identity.chain))[0]
        self._leaves[context] = sha256(to_der(leaf))
        self._made = now
        self._due = renewal_time(now, validity_period(leaf)[1], self._world.jitter())
        return context
