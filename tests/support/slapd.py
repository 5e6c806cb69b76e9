"""A real slapd of our own: in a folder of its own, stopped afterwards."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ldap

from loadtests.process import free_port
from tests.scratch import open_folder
from tests.support.run_times import timed_start

START_SECONDS: Final = 30.0
SUFFIX: Final = "dc=example,dc=org"
ROOT: Final = f"cn=root,{SUFFIX}"
ROOT_PASSWORD: Final = "root-password"
_SCHEMAS: Final = ("core", "cosine", "inetorgperson")
_UNICODE_PWD: Final = (
    "attributetype ( 1.2.840.113556.1.4.90 NAME 'unicodePwd' "
    "SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )"
)  # Active Directory's


class Slapd:
    """A server on a socket and a port; `access` says who may do what (slapd.access(5))."""

    def __init__(self, folder: Path, access: str, *, tls: bool) -> None:
        self.folder = folder
        self.socket = folder / "ldapi"
        port = free_port((0, 1))
        self.ports = {"ldap": port} | ({"ldaps": port + 1} if tls else {})
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir()
        lines = [
            *(f"include /etc/ldap/schema/{schema}.schema" for schema in _SCHEMAS),
            _UNICODE_PWD,
            "modulepath /usr/lib/ldap",
            "moduleload back_mdb",
            *(self._certificates() if tls else []),
            "database mdb",
            "maxsize 16777216",
            f'suffix "{SUFFIX}"',
            f'rootdn "{ROOT}"',
            f"rootpw {ROOT_PASSWORD}",
            f"directory {folder / 'data'}",
            access,
        ]
        (folder / "slapd.conf").write_text("\n".join(lines) + "\n")

    def _certificates(self) -> list[str]:
        return [
            f"TLSCACertificateFile {self.folder / 'authority.crt'}",
            f"TLSCertificateFile {self.folder / 'server.crt'}",
            f"TLSCertificateKeyFile {self.folder / 'server.key'}",
        ]

    @timed_start("slapd")
    def start(self) -> None:
        """Start it; returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig", "KILL", "/usr/sbin/slapd", "-d", "0",
                    "-f", str(self.folder / "slapd.conf"),
                    "-h", " ".join([self.url, *self._listeners()]),
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect().unbind()
            except ldap.SERVER_DOWN:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, "slapd does not start"
                time.sleep(0.02)
            else:
                return

    def _listeners(self) -> list[str]:
        return [
            f"{scheme}://{address}:{port}"
            for scheme, port in self.ports.items()
            for address in ("127.0.0.1", "127.0.0.2")
        ]

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)

    @property
    def url(self) -> str:
        """Its socket."""
        return "ldapi://" + str(self.socket).replace("/", "%2F")

    def connect(self, dn: str = ROOT, password: str = ROOT_PASSWORD) -> Any:
        """A connection. Raises `ldap.LDAPError`."""
        connection = ldap.initialize(self.url)
        connection.simple_bind_s(dn, password)
        return connection

    def add(self, dn: str, **fields: str) -> None:
        """An entry; the fields' values are separated by commas."""
        connection = self.connect()
        connection.add_s(
            dn,
            [(name, [item.encode() for item in text.split(",")]) for name, text in fields.items()],
        )
        connection.unbind()


@contextmanager
def slapd(access: str, folder: Path | None = None, *, tls: bool = False) -> Iterator[Slapd]:
    """A running server for the length of the block.

    `tls`: on another port as well, with the certificate `server` of an authority in the folder.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-ldap-", dir=open_folder()) as name:
        server = Slapd(folder or Path(name), access, tls=tls)
        server.start()
        try:
            server.add(SUFFIX, objectClass="dcObject,organization", dc="example", o="Example")
            yield server
        finally:
            server.stop()
