"""TLS to a database server: its name and its authority are verified, whatever the driver."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.process import free_port
from tests.support.certificates import Authority
from tests.support.databases import Server, database_name
from tests.support.postgres import Postgres
from vault.errors import VaultError
from vault.model.server_address import ServerTls, parse_server_address
from vault.store.mysql import MysqlBackend
from vault.store.postgresql import PostgresqlBackend
from vault.store.server import Role, ServerBackend, run

CLIENT = "with_certificate"


class Listening:
    """A server with a certificate for 127.0.0.1, and what a client of it has."""

    def __init__(self, server: Server, url: str, folder: Path) -> None:
        self._server = server
        self._database = database_name(url)
        self._kind = url.partition(":")[0]
        self.authority = Authority(folder, "authority")
        self.stranger = Authority(folder, "stranger")
        self.certificate, self.key = self.authority.issue("server", "127.0.0.1")
        self.client = self.authority.issue(CLIENT)
        self.port = free_port()

    def start(self) -> None:
        """Anew, on its port, with the certificate."""
        self._server.stop()
        authority = self.authority.file
        if isinstance(self._server, Postgres):
            self._server.start(
                f"-c listen_addresses=127.0.0.1 -c port={self.port} -c ssl=on",
                f"-c ssl_cert_file={self.certificate} -c ssl_key_file={self.key}",
                f"-c ssl_ca_file={authority}",
            )
            return
        self._server.start(
            "--skip-networking=0", "--bind-address=127.0.0.1", f"--port={self.port}",
            f"--ssl-cert={self.certificate}", f"--ssl-key={self.key}", f"--ssl-ca={authority}",
        )  # fmt: skip

    def session(self, tls: ServerTls | None, host: str = "127.0.0.1", user: str = "tester") -> bool:
        """Whether a connection there is encrypted. Raises `VaultError` where there is none."""
        address = parse_server_address(
            f"{self._kind}://{user}@{host}:{self.port}/{self._database}", self._kind
        )
        kind = PostgresqlBackend if self._kind == "postgresql" else MysqlBackend
        backend: ServerBackend = kind(address, tls)
        backend.open()
        connection = backend.connect_driver(Role.WRITE)
        text = (
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            if self._kind == "postgresql"
            else "SHOW STATUS LIKE 'Ssl_cipher'"
        )
        encrypted = bool(run(connection, text)[0][-1])
        connection.close()
        backend.close()
        return encrypted

    def refusal(self, tls: ServerTls | None, host: str = "127.0.0.1", user: str = "tester") -> str:
        """Why there is no connection."""
        with pytest.raises(VaultError) as caught:
            self.session(tls, host, user)
        assert caught.value.code == "store_unavailable"
        return str(caught.value)


@pytest.fixture
def listening(server: Server, url: str) -> Iterator[Listening]:
    """The server, restarted with TLS; afterwards as before."""
    folder = server.folder / "tls"
    folder.mkdir(mode=0o755)
    made = Listening(server, url, folder)
    user = "postgres" if isinstance(server, Postgres) else "mysql"
    if os.geteuid() == 0:
        shutil.chown(made.key, user)
    if isinstance(server, Postgres):
        accounts = ["CREATE ROLE {} LOGIN SUPERUSER"] * 2
    else:
        accounts = [
            "CREATE USER {}; GRANT ALL ON *.* TO {}",
            "CREATE USER {} REQUIRE X509; GRANT ALL ON *.* TO {}",
        ]
    names = ["tester", CLIENT]
    for account, name in zip(accounts, names, strict=True):
        server.run(*account.replace("{}", name).split(";"))
    made.start()
    try:
        yield made
    finally:
        server.stop()
        server.start()
        server.run(*(f"DROP USER {name}" for name in names))
        shutil.rmtree(folder)


def test_tls(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server for all of it: it takes the longest to start it."""
    ours = ServerTls(ca_file=listening.authority.file)
    assert listening.session(ours)
    assert listening.session(None, user="tester") is False

    for wrong in (ServerTls(ca_file=listening.stranger.file), ServerTls()):
        said = listening.refusal(wrong)
        assert "certificate verify failed" in said or "self-signed" in said or "issuer" in said
        assert "storage.tls" in said

    monkeypatch.setenv("SSL_CERT_FILE", str(listening.authority.file))
    assert listening.session(ServerTls())
    for known in (ours, ServerTls()):  # of the machine's authorities as well
        said = listening.refusal(known, "localhost")
        assert "localhost" in said
        assert "storage.tls" in said

    certificate, key = listening.client
    with_certificate = ServerTls(ca_file=ours.ca_file, cert_file=certificate, key_file=key)
    assert listening.session(with_certificate, user=CLIENT)
    assert "storage." in listening.refusal(ours, user=CLIENT)

    absent = ServerTls(ca_file=ours.ca_file, cert_file=certificate, key_file=Path("/absent"))
    assert "storage.tls" in listening.refusal(absent, user=CLIENT)
