"""An OCSP responder on this machine: OpenSSL's, or whatever a test says instead."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.certificates import Authority


class Responder:
    """`answer`: what it says to a request. `asked`: how often it was asked."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder = folder
        self._authority = authority
        self._index = folder / "index.txt"
        self._index.touch()
        self._lock = threading.Lock()
        self.signer = authority.issue("responder", use=ExtendedKeyUsageOID.OCSP_SIGNING)
        self.asked = 0
        self.options = ["-nmin", "5"]
        self.answer: Callable[[bytes], bytes | None] = self.openssl
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = outer.answer(body)
                self.send_response(200 if found is not None else 500)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def know(self, certificate: Path, *, revoked: bool = False) -> None:
        """What OpenSSL's says of a certificate from now on."""
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        serial = f"{found.serial_number:X}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        end = found.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
        when = "200101000000Z" if revoked else ""
        rows = [row for row in self._index.read_text().splitlines() if f"\t{serial}\t" not in row]
        state = "R" if revoked else "V"
        rows.append(f"{state}\t{end}\t{when}\t{serial}\tunknown\t/CN=x")
        self._index.write_text("\n".join(rows) + "\n")

    def openssl(self, request: bytes) -> bytes:
        """The answer of `openssl ocsp`, signed by a certificate of the authority for that."""
        certificate, key = self.signer
        with self._lock:
            asked, said = self._folder / "request.der", self._folder / "answer.der"
            asked.write_bytes(request)
            subprocess.run(
                [
                    "openssl", "ocsp", "-index", self._index, "-CA", self._authority.file,
                    "-rsigner", certificate, "-rkey", key, "-reqin", asked, "-respout", said,
                    *self.options,
                ],
                check=True, capture_output=True,
            )  # fmt: skip
            return said.read_bytes()


@contextmanager
def responder(folder: Path, authority: Authority) -> Iterator[Responder]:
    """One that runs for the length of the block."""
    made = Responder(folder, authority)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
