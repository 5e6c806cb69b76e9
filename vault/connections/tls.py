"""TLS to a server that the agent is a client of."""

import ssl

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
