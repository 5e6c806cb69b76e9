"""The way to the control plane over the network: TLS with the agent's certificate, a websocket."""

import os
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from actors import World
from protocols.link.errors import TransportError
from protocols.link_transport.network import WebSocketTransport, connect
from protocols.link_transport.tls_contexts import Clock, agent_context
from protocols.pki import files
from protocols.pki.certificates import parse_pem_chain, to_der
from protocols.pki.errors import PkiError
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.identity import AgentCredential
from vault.model.endpoint import parse_endpoint

DEFAULT_PORT: Final = 443


class TlsDialer:
    """A `Dialer` with TLS. `keylog`: receives the TLS secrets, to decrypt a capture."""

    def __init__(
        self,
        world: World,
        keylog: Path | None = None,
        addresses: ControlPlaneAddresses | None = None,
    ) -> None:
        self._addresses = addresses or ControlPlaneAddresses((), world)
        self._world = world
        self._keylog = keylog

    async def __call__(
        self, nursery: trio.Nursery, credential: AgentCredential
    ) -> WebSocketTransport:
        """See `Dialer`."""
        host, port = parse_address(self._addresses.address_for(credential.enrolment.endpoint))
        try:
            context = await self._world.run_sync(_context, credential, self._world.wall)
        except PkiError as error:
            raise TransportError("tls", str(error)) from error
        log_tls_secrets(context, self._keylog)
        return await connect(nursery, host, port, context)


def _context(credential: AgentCredential, now: Clock) -> ssl.SSLContext:
    """By the files as they are now, which must be the credential's: it goes into the session's id.

    A renewal replaces them while the one before is held still; what was loaded is compared last, so
    that no moment is left. Raises `TransportError` (`renewed`), `PkiError`.
    """
    context = agent_context(credential.identity, credential.trust, now)
    chain = parse_pem_chain(files.read_file(credential.identity.chain))
    if to_der(chain[0]) != credential.leaf:
        raise TransportError(
            "renewed", "the certificate has just been renewed: again with the new one"
        )
    return context


def parse_address(endpoint: str) -> tuple[str, int]:
    """Host and port of `https://HOST[:PORT]`. Raises `ValueError` for anything else."""
    try:
        parts = urlsplit(parse_endpoint(endpoint))
    except ValueError as error:
        raise ValueError(f"the control plane's address {error}") from None
    return parts.hostname or "", parts.port or DEFAULT_PORT


# Where TLS secrets go so that the owner can decrypt a capture (`control_plane.tls_keylog`).


MODE: Final = 0o600


def log_tls_secrets(context: ssl.SSLContext, path: Path | None) -> None:
    """Have the secrets of this context's connections written to `path`; None: not at all.

    OpenSSL would make the file as the umask has it, mostly for all to read: whoever has it reads
    what is said to the control plane, an enrolment's token too. Raises `OSError`.
    """
    if path is not None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE))
        context.keylog_filename = str(path)
