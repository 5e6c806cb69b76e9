"""A server with the control plane's certificate, whatever it then says."""

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from protocols.link_transport.tls_contexts import TlsIdentity, server_context
from protocols.pki.certificates import to_pem
from protocols.pki.files import PUBLIC_MODE, write_atomically
from protocols.pki.keys import store_key
from tests.unit.protocols.pki.samples import Pki, make_pki, make_server

PKI = make_pki("https", time.time_ns())  # OpenSSL asks the machine's clock

Talk = Callable[[trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk, folder: Path | None = None, pki: Pki = PKI) -> AsyncIterator[int]:
    """The port where `talk` has each connection; without a folder for its files in clear."""

    async def each(stream: trio.SocketStream) -> None:
        ends = stream if context is None else trio.SSLStream(stream, context, server_side=True)
        try:
            await talk(ends)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever came has seen enough
        finally:
            await trio.aclose_forcefully(ends)

    context = None
    if folder is not None:
        identity = TlsIdentity(folder / "chain.pem", folder / "key.pem")
        holder = make_server(pki, time.time_ns())
        store_key(identity.key, holder.key)
        write_atomically(identity.chain, to_pem(holder.chain), PUBLIC_MODE)
        context = server_context(identity, pki.trust, clients=ssl.CERT_OPTIONAL)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, each, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()
