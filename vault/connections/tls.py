"""TLS to a server that the agent is a client of."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vault.model.server_address import ServerTls


def client_context(tls: ServerTls) -> ssl.SSLContext:
    """A context that always verifies the host name. Raises `OSError` for a file.

    Made for each connection, so that a renewed certificate counts.
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as libpq; from Python 3.13 on it is set
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


@contextmanager
def pem_file(text: str) -> Iterator[Path]:
    """A file in memory where the system has such files: keys do not touch the disk."""
    if not hasattr(os, "memfd_create"):
        with TemporaryDirectory(prefix="freehold-") as folder:
            path = Path(folder) / "pem"
            path.touch(0o600)
            path.write_text(text)
            yield path
        return
    descriptor = os.memfd_create("freehold")
    try:
        os.fchmod(descriptor, 0o600)  # libpq refuses keys that others may read
        with os.fdopen(os.dup(descriptor), "w") as file:
            file.write(text)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
