"""Servers of Google Cloud KMS and Azure Key Vault on loopback, and refusals of AWS KMS.

The real libraries speak with the first two by the real names (`cloudkms.googleapis.com`), through
`HTTPS_PROXY` and a CA of the test's. They answer as the services' REST references say. They do not
prove that the clouds accept the credentials of a real account, nor what their own policies refuse.
"""

import base64
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jwt
import trustme
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.backup_servers import service_account

Answer = tuple[int, Mapping[str, str], Any]
GOOGLE: Final = "cloudkms.googleapis.com"
GOOGLE_KEY: Final = "projects/p/locations/europe/keyRings/r/cryptoKeys/root"
AZURE: Final = "freehold.vault.azure.net"
AZURE_KEY: Final = "root"
_LOGIN: Final = (
    'Bearer authorization="https://login.microsoftonline.com/tenant", '
    'resource="https://vault.azure.net"'
)
ENABLED: Final = 1  # of CryptoKeyVersionState; so is ENCRYPT_DECRYPT of CryptoKeyPurpose
DESTROYED, DISABLED = 3, 2
_STATES: Final = {DISABLED: "DISABLED", DESTROYED: "DESTROYED"}


class Cloud:
    """What both have: a host, answers, and refusals on demand."""

    host = ""

    def __init__(self) -> None:
        self.refusal: Answer | None = None
        """Instead of an answer to whoever has the right credentials."""

    def respond(self, path: str, query: str, headers: Mapping[str, str], body: Any) -> Answer:
        """To one request."""
        raise NotImplementedError


class AwsRefusals(Cloud):
    """KMS that refuses as told: moto knows neither the states of keys at Decrypt nor time-outs."""

    def respond(self, path: str, query: str, headers: Mapping[str, str], body: Any) -> Answer:  # noqa: ARG002  # whatever it is
        """See `Cloud`."""
        assert headers["X-Amz-Target"].startswith("TrentService.")
        assert self.refusal is not None
        return self.refusal


def aws_error(code: str, status: int = 400) -> Answer:
    """As AWS's JSON protocols refuse."""
    return status, {"x-amzn-RequestId": "1"}, {"__type": code, "message": "refused"}


class GoogleKms(Cloud):
    """One key. A service account signs its own tokens (AIP-4111)."""

    host = GOOGLE

    def __init__(self, folder: Path, versions: int = 1) -> None:
        super().__init__()
        public = folder / "public.pem"
        self.credentials_file = service_account(folder / "account.json", public)
        account = json.loads(self.credentials_file.read_text())
        account["token_uri"] = "https://oauth2.googleapis.com/token"
        self.credentials_file.write_text(json.dumps(account))
        self._public = public.read_text()
        self.purpose = ENABLED
        self.versions: dict[int, tuple[AESGCM, int]] = {}
        self.primary = 0
        for _ in range(versions):
            self.add_version()

    @property
    def section(self) -> dict[str, Any]:
        """`encryption.cloud_kms.gcp`."""
        return {"key": GOOGLE_KEY, "credentials_file": str(self.credentials_file)}

    def add_version(self) -> None:
        """The primary one from now on."""
        self.primary = len(self.versions) + 1
        self.versions[self.primary] = AESGCM(AESGCM.generate_key(256)), ENABLED

    def set_state(self, version: int, state: int) -> None:
        """Of a version."""
        self.versions[version] = self.versions[version][0], state

    def respond(self, path: str, query: str, headers: Mapping[str, str], body: Any) -> Answer:
        """See `Cloud`."""
        try:
            token = headers.get("Authorization", "").removeprefix("Bearer ")
            claims = jwt.decode(token, self._public, ["RS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return google_error(401, "UNAUTHENTICATED", "invalid authentication credentials")
        assert claims["iss"] == claims["sub"] == "agent@example.iam.gserviceaccount.com"
        assert parse_qs(query)["$alt"] == ["json;enum-encoding=int"]
        if self.refusal is not None:
            return self.refusal
        name, _, verb = path.removeprefix("/v1/").partition(":")
        if name != GOOGLE_KEY or not self.versions:
            return google_error(404, "NOT_FOUND", f"CryptoKey {name} not found.")
        if verb == "encrypt":
            return self._use(self.primary, lambda: self._encrypt(body))
        if verb == "decrypt":
            version = base64.b64decode(body["ciphertext"])[0]
            if version in self.versions:
                return self._use(version, lambda: self._decrypt(version, body))
            return _undecipherable()
        primary = {"name": self._name(self.primary), "state": self.versions[self.primary][1],
                   "protectionLevel": 2, "algorithm": 1}  # fmt: skip
        return 200, {}, {"name": name, "purpose": self.purpose, "primary": primary}

    def _name(self, version: int) -> str:
        return f"{GOOGLE_KEY}/cryptoKeyVersions/{version}"

    def _use(self, version: int, answer: Callable[[], Answer]) -> Answer:
        state = self.versions[version][1]
        if state == ENABLED:
            return answer()
        return google_error(
            400, "FAILED_PRECONDITION",
            f"{self._name(version)} is not enabled, current state is: {_STATES[state]}.",
        )  # fmt: skip

    def _encrypt(self, body: Any) -> Answer:
        sealed = self.versions[self.primary][0].encrypt(
            bytes(12), base64.b64decode(body["plaintext"]), _aad(body)
        )
        ciphertext = base64.b64encode(bytes([self.primary]) + sealed).decode()
        made = {"name": self._name(self.primary), "ciphertext": ciphertext, "protectionLevel": 2}
        return 200, {}, made

    def _decrypt(self, version: int, body: Any) -> Answer:
        sealed = base64.b64decode(body["ciphertext"])[1:]
        try:
            opened = self.versions[version][0].decrypt(bytes(12), sealed, _aad(body))
        except InvalidTag:
            return _undecipherable()
        return 200, {}, {"plaintext": base64.b64encode(opened).decode()}


def _aad(body: Any) -> bytes:
    return base64.b64decode(body["additionalAuthenticatedData"])


def _undecipherable() -> Answer:
    return google_error(
        400, "INVALID_ARGUMENT",
        "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
    )  # fmt: skip


def google_error(code: int, status: str, message: str) -> Answer:
    """As Google's APIs refuse (AIP-193)."""
    return code, {}, {"error": {"code": code, "status": status, "message": message}}


class AzureKeyVault(Cloud):
    """One RSA key. Who comes has a token of the managed identity, which is at `/msi/token`."""

    host = AZURE
    identity = "secret-of-the-identity-endpoint"

    section: Final = {"vault": f"https://{AZURE}", "key": AZURE_KEY}
    """`encryption.cloud_kms.azure`."""

    def __init__(self, versions: int = 1) -> None:
        super().__init__()
        self.versions: dict[str, rsa.RSAPrivateKey] = {}
        self.attributes: dict[str, Any] = {"enabled": True}
        self.kind = "RSA"
        for _ in range(versions):
            self.add_version()

    def add_version(self) -> None:
        """The newest."""
        self.versions[f"{len(self.versions) + 1:032x}"] = rsa.generate_private_key(65_537, 2048)

    def identity_token(self, query: str, headers: Mapping[str, str]) -> Answer:
        """As the endpoint of App Service (2019-08-01)."""
        asked = parse_qs(query)
        assert asked["api-version"] == ["2019-08-01"]
        assert asked["resource"] == ["https://vault.azure.net"]
        if headers.get("X-IDENTITY-HEADER") != self.identity:
            return 401, {}, {"message": "who are you?"}
        return 200, {}, {
            "access_token": "token-of-the-identity", "expires_on": "4102444800",
            "resource": "https://vault.azure.net", "token_type": "Bearer",
        }  # fmt: skip

    def respond(self, path: str, query: str, headers: Mapping[str, str], body: Any) -> Answer:
        """See `Cloud`."""
        assert "api-version=" in query
        if headers.get("Authorization") != "Bearer token-of-the-identity":
            return 401, {"WWW-Authenticate": _LOGIN}, azure_error("Unauthorized", "")[2]
        if self.refusal is not None:
            return self.refusal
        _, _, name, *more = path.rstrip("/").split("/")
        version = more[0] if more else next(reversed(self.versions), "")
        if name != AZURE_KEY or version not in self.versions:
            return azure_error("KeyNotFound", "", 404)
        if path.endswith("/unwrapkey"):
            return self._unwrap(version, body)
        numbers = self.versions[version].public_key().public_numbers()
        key = {
            "kid": f"https://{AZURE}/keys/{name}/{version}", "kty": self.kind,
            "n": _base64url(numbers.n.to_bytes(256)), "e": _base64url(numbers.e.to_bytes(3)),
            "key_ops": ["wrapKey", "unwrapKey"],
        }  # fmt: skip
        return 200, {}, {"key": key, "attributes": self.attributes}

    def _unwrap(self, version: str, body: Any) -> Answer:
        if not self.attributes["enabled"]:
            return azure_error("Forbidden", "KeyDisabled", 403)
        assert body["alg"] == "RSA-OAEP-256"
        oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
        sealed = base64.urlsafe_b64decode(body["value"] + "==")
        try:
            opened = self.versions[version].decrypt(sealed, oaep)
        except ValueError:
            return azure_error("BadParameter", "", 400)
        kid = f"https://{AZURE}/keys/{AZURE_KEY}/{version}"
        return 200, {}, {"kid": kid, "value": _base64url(opened)}


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def azure_error(code: str, inner: str, status: int = 401) -> Answer:
    """As Key Vault refuses."""
    error: dict[str, Any] = {"code": code, "message": "refused"}
    if inner:
        error["innererror"] = {"code": inner}
    return status, {}, {"error": error}


class _Server(ThreadingHTTPServer):
    """With an end: clients keep their connections."""

    daemon_threads = False
    cloud: Cloud
    tls: ssl.SSLContext
    connections: set[socket.socket]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go."""
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def close_connections(self) -> None:
        """Whatever is in them."""
        for each in tuple(self.connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """A proxy that is at the end of the tunnel, too."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        """One more connection."""
        super().setup()
        self.server.connections.add(self.connection)

    def do_CONNECT(self) -> None:
        """Say that there is a tunnel, and be the host."""
        assert self.path == f"{self.server.cloud.host}:443", self.path
        self.send_response(200)
        self.end_headers()
        self.server.connections.discard(self.connection)
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.server.connections.add(self.connection)
        self.rfile = self.connection.makefile("rb")  # type: ignore[assignment]
        self.wfile = self.connection.makefile("wb", 0)  # type: ignore[assignment]

    def do_GET(self) -> None:
        """A request to the host."""
        self._answer()

    def do_POST(self) -> None:
        """The same."""
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url, cloud = urlsplit(self.path), self.server.cloud
        if url.path == "/msi/token" and isinstance(cloud, AzureKeyVault):
            status, headers, answer = cloud.identity_token(url.query, self.headers)
        else:
            assert not cloud.host or self.headers["Host"] == cloud.host
            given = json.loads(body) if body else None
            status, headers, answer = cloud.respond(url.path, url.query, self.headers, given)
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def finish(self) -> None:
        """With the TLS connection, where there is one."""
        super().finish()
        self.server.connections.discard(self.connection)
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def serving(cloud: Cloud, folder: Path) -> Iterator[dict[str, str]]:
    """The variables by which a library reaches it."""
    authority, ca_file = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.cloud = cloud
    server.connections = set()
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(cloud.host or "localhost").configure_cert(server.tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    variables = {
        "HTTPS_PROXY": address,
        "REQUESTS_CA_BUNDLE": str(ca_file),
        "IDENTITY_ENDPOINT": f"{address}/msi/token",
        "IDENTITY_HEADER": AzureKeyVault.identity,
    }
    try:
        yield variables
    finally:
        server.shutdown()
        thread.join()
        server.close_connections()
        server.server_close()
