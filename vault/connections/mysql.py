"""A connection to MySQL or MariaDB."""

import socket
from typing import Any

import pymysql
from pymysql.constants import CR


class UnixSocketConnection(pymysql.connections.Connection):
    """Closes the Unix socket when no server listens on it, which PyMySQL does not."""

    def connect(self, sock: Any = None) -> None:
        """Connect as PyMySQL does. Raises `pymysql.Error`."""
        if sock is None and self.unix_socket:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(self.connect_timeout)
            try:
                sock.connect(self.unix_socket)
            except OSError as error:
                sock.close()
                raise pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, str(error)) from error
            self._secure = True
        super().connect(sock)

    def limit_answer(self, seconds: float) -> None:
        """From now on, give up when the server sends or takes nothing for so long."""
        self._read_timeout = self._write_timeout = seconds
