"""The listener for agents: one port for links and enrolment, for the life of the process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import trio

from actors import World
from actors.periodic import Job, run_periodic_jobs
from control.gateway.enrolment_server import EnrolmentServer
from control.gateway.gateway import Gateway, log_connection_error
from control.gateway.server_certificate import CHECK_INTERVAL, ServerCertificate
from control.services.refusals import SUMMARY_INTERVAL
from protocols.bind_address import name_bind_errors
from protocols.link.errors import TransportError
from protocols.link_transport.network import LinkServer
from protocols.link_transport.network import serve as serve_link
from protocols.link_transport.websocket import WebSocketTransport
from protocols.pki.chain import read_agent
from protocols.pki.errors import ChainError

DRAIN_SECONDS: Final = 6.0
"""Seconds for agents to say good-bye: the link's own 5, and one for the way."""
BACKLOG: Final = 1024
"""Connections that wait to be accepted, for a fleet that comes back at once."""


class LinkListener(NamedTuple):
    """The open listener."""

    gateway: Gateway
    server: LinkServer

    @property
    def port(self) -> int:
        """The port that agents connect to."""
        return int(self.server.ports[0])


@asynccontextmanager
async def open_link_listener(
    address: tuple[str, int],
    gateway: Gateway,
    enrolment: EnrolmentServer,
    certificate: ServerCertificate,
    world: World,
) -> AsyncIterator[LinkListener]:
    """Accept agents for the length of the block; then tell them to return later.

    Raises `OSError` for an address that cannot be bound.
    """
    jobs = [
        Job("certificate", CHECK_INTERVAL, certificate.refresh),
        Job("refusals", SUMMARY_INTERVAL, enrolment.refusals.record_suppressed, at_end=True),
    ]
    async with run_periodic_jobs(jobs, world), trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)

        async def attend(pipe: WebSocketTransport) -> None:
            try:
                peer = read_agent(pipe.peer_certificate)
            except ChainError:
                raise TransportError("tls", "the certificate is not an agent's") from None
            await gateway.serve_connection(pipe, peer, certificate.leaf_digest(pipe.context))

        server = await serve_link(
            nursery,
            attend,
            await _listeners(address),
            lambda: certificate.context,
            report=log_connection_error,
            answer=enrolment,
        )
        try:
            yield LinkListener(gateway, server)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(DRAIN_SECONDS + 1.0):
                gateway.close_all()
                await server.drain(DRAIN_SECONDS)
            nursery.cancel_scope.cancel()


async def _listeners(address: tuple[str, int]) -> Sequence[trio.SocketListener]:
    host, port = address
    with name_bind_errors(host, port):
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
