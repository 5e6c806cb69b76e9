"""The door: the one port where agents come, and what it leads to, for a process' length."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import trio

from actors import World
from actors.periodic import Job, run_periodic_jobs
from control.config.settings import Link
from control.gateway.certificate import LOOK_EVERY, Certificate
from control.gateway.desk import Desk
from control.gateway.gateway import Gateway, gone
from control.services.refusals import COUNTED_EVERY
from protocols.binding import binding
from protocols.link.errors import PipeError
from protocols.link.stream import LinkServer
from protocols.link.stream import serve as serve_link
from protocols.link.websocket import WebSocketPipe
from protocols.pki.chain import read_agent
from protocols.pki.errors import ChainError

DRAIN: Final = 6.0
"""Seconds for agents to say good-bye: the link's own 5, and one for the way."""
BACKLOG: Final = 1024
"""Connections that wait to be accepted, for a fleet that comes back at once."""


class Door(NamedTuple):
    """What is open."""

    gateway: Gateway
    link: LinkServer

    @property
    def port(self) -> int:
        """Where agents come."""
        return int(self.link.ports[0])


@asynccontextmanager
async def open_door(
    settings: Link, gateway: Gateway, desk: Desk, certificate: Certificate, world: World
) -> AsyncIterator[Door]:
    """Let agents in for the length of the block; then tell them to come back later.

    Raises `OSError` for an address that cannot be bound.
    """
    jobs = [
        Job("certificate", LOOK_EVERY, certificate.look),
        Job("refusals", COUNTED_EVERY, desk.refusals.tell, at_end=True),
    ]
    async with run_periodic_jobs(jobs, world), trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)

        async def attend(pipe: WebSocketPipe) -> None:
            try:
                peer = read_agent(pipe.peer_certificate)
            except ChainError:
                raise PipeError("tls", "the certificate is not an agent's") from None
            await gateway.attend(pipe, peer, certificate.shown(pipe.context))

        server = await serve_link(
            nursery,
            attend,
            await _listeners(settings.address),
            lambda: certificate.context,
            report=gone,
            answer=desk,
        )
        try:
            yield Door(gateway, server)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(DRAIN + 1.0):
                gateway.leave()
                await server.drain(DRAIN)
            nursery.cancel_scope.cancel()


async def _listeners(address: tuple[str, int]) -> Sequence[trio.SocketListener]:
    host, port = address
    with binding(host, port):
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
