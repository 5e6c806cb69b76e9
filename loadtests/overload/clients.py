"""Clients that hold a server up: thousands that only stay, and some that read slowly."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from loadtests.servers import Server

AT_ONCE = 64  # handshakes
ADDRESSES = 8  # loopback addresses that the clients come from
SIP, SIP_EVERY = (
    1024,
    0.25,
)  # a slow reader takes 4 KiB a second: more than attackers, less than all


@dataclass
class Crowd:
    """Connections that were opened, and how many could not be."""

    readers: list[asyncio.StreamReader] = field(default_factory=list)
    refused: int = 0

    @property
    def open(self) -> int:
        """How many the server has not closed."""
        return sum(not reader.at_eof() for reader in self.readers)


@asynccontextmanager
async def idle_connections(server: Server, count: int) -> AsyncIterator[Crowd]:
    """So many TLS connections that did one read each and then stay, for the length of the block."""
    crowd, turn, number = Crowd(), asyncio.Semaphore(AT_ONCE), itertools.count()
    tls = ssl.create_default_context(cafile=str(server.ca))
    async with AsyncExitStack() as stack:

        async def join() -> None:
            async with turn:
                try:
                    reader, writer = await _connect(server, tls, next(number))
                    stack.callback(_cut, writer)
                    writer.write(_request(server, "first"))
                    await reader.readuntil(b"\r\n\r\n")
                except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
                    crowd.refused += 1
                else:
                    crowd.readers.append(reader)

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(join())
        yield crowd


@asynccontextmanager
async def slow_readers(server: Server, count: int, name: str) -> AsyncIterator[None]:
    """So many clients that ask for a large secret again and again and read it slowly."""
    tls = ssl.create_default_context(cafile=str(server.ca))

    async def sip(number: int) -> None:
        reader, writer = await _connect(server, tls, number, buffer=4096)
        writer.write(_request(server, name))
        while await reader.read(SIP):  # noqa: ASYNC110  # it waits for the clock
            await asyncio.sleep(SIP_EVERY)
        writer.close()

    async def again(number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):  # cut off: it asks anew
                await sip(number)
            await asyncio.sleep(SIP_EVERY)

    tasks = [asyncio.create_task(again(number)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(
    server: Server, tls: ssl.SSLContext, number: int, buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    wire = socket.socket()
    try:
        wire.settimeout(0)
        if buffer:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        wire.bind((f"127.0.0.{2 + number % ADDRESSES}", 0))
        await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", server.port))
        limit = buffer or 65536
        return await asyncio.open_connection(
            sock=wire, ssl=tls, server_hostname="127.0.0.1", limit=limit
        )
    except BaseException:
        wire.close()
        raise


def _request(server: Server, name: str) -> bytes:
    return (
        f"GET /v1/secret/data/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-Vault-Token: {server.token}\r\n\r\n"
    ).encode()


def _cut(writer: asyncio.StreamWriter) -> None:
    """End a connection. Keeps its writer until then: one that is let go of closes it."""
    writer.transport.abort()
