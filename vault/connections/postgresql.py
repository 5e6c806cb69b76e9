"""A connection to PostgreSQL."""

from typing import Any

import psycopg

from vault.model.server_address import ServerAddress, ServerTls


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up on a statement that is not answered in time, whatever the server does."""

    answer_seconds: float | None = None
    """For one statement; None: no bound."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg. Raises `psycopg.OperationalError`."""
        return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)


def libpq_parameters(
    address: ServerAddress, password: str, tls: ServerTls | None
) -> dict[str, Any]:
    """What `psycopg.connect` takes for an address; the server's name is always verified."""
    parameters: dict[str, Any] = {
        "user": address.user,
        "password": password or None,
        "dbname": address.database,
        "host": address.socket or address.host,
        "sslmode": "disable",
        "gssencmode": "disable",
    }
    if address.port:
        parameters["port"] = address.port
    if tls is not None:
        parameters |= {
            "sslmode": "verify-full",
            "sslrootcert": str(tls.ca_file) if tls.ca_file else "system",
            "ssl_min_protocol_version": "TLSv1.2",
        }
        if tls.cert_file is not None:
            parameters |= {"sslcert": str(tls.cert_file), "sslkey": str(tls.key_file)}
    return parameters
