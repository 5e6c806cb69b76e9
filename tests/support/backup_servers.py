"""Real servers that keep backups, on loopback: moto (S3, GCS), Azurite, OpenSSH."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from getpass import getuser
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import httpx2
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ROOT: Final = Path(__file__).parents[2]
AZURITE: Final = Path(sys.prefix, "share/azurite/node_modules/azurite/dist/src/blob/main.js")
AZURE_ACCOUNT: Final = "devstoreaccount1"
AZURE_KEY: Final = base64.b64encode(
    b"a key of sixty-four bytes, for tests on loopback alone, that's it"
).decode()
BUCKET: Final = "backups"
LOCKED_BUCKET: Final = "locked-backups"
POLICY: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [f"s3:{each}" for each in ("ListBucket", "GetObject", "PutObject",
                                                  "PutObjectRetention", "DeleteObject")],
            "Resource": "*",
        }
    ],
}  # fmt: skip
ADMIN: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


def private_file(path: Path, text: str) -> Path:
    """For its owner alone."""
    path.touch(0o600)
    path.write_text(text)
    return path


def request(method: str, url: str, body: bytes = b"", **headers: str) -> None:
    """One that has to succeed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    httpx2.request(method, url, content=body, headers=named, timeout=30).raise_for_status()


@contextmanager
def running(*command: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A server in a process of its own, which says on its first line that it is there."""
    more = {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True} | more
    with subprocess.Popen(command, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """What it says."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the server ended"
    return line


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, Any]]:
    """Moto's, with a bucket that has object lock and one that has not; it checks signatures."""
    import boto3

    with running(sys.executable, "-m", "tests.support.bucket_server", "s3") as process:
        url = f"http://127.0.0.1:{first_line(process)}"
        request("PUT", f"{url}/{BUCKET}")
        request("PUT", f"{url}/{LOCKED_BUCKET}", x_amz_bucket_object_lock_enabled="true")
        iam = boto3.client(
            "iam",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="setup",
            aws_secret_access_key="setup",
        )
        files = {}
        for user, policy in (("agent", POLICY), ("admin", ADMIN), ("stranger", None)):
            iam.create_user(UserName=user)
            if policy is not None:
                iam.put_user_policy(
                    UserName=user, PolicyName="backups", PolicyDocument=json.dumps(policy)
                )
            key = iam.create_access_key(UserName=user)["AccessKey"]
            files[user] = aws_file(
                folder / f"s3-{user}", key["AccessKeyId"], key["SecretAccessKey"]
            )
        iam.close()
        request("POST", f"{url}/moto-api/reset-auth", b"0", Content_Type="text/plain")
        yield {
            "type": "s3",
            "bucket": BUCKET,
            "endpoint": url,
            "region": "us-east-1",
            "credentials_file": files["agent"],
            "stranger": files["stranger"],
            "admin": files["admin"],
        }


def aws_file(path: Path, key: str, secret: str) -> Path:
    """As `~/.aws/credentials`."""
    text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    return private_file(path, text)


@contextmanager
def gcs(folder: Path) -> Iterator[dict[str, Any]]:
    """One that speaks Google's XML API."""
    public = folder / "gcs-public.pem"
    key_file = service_account(folder / "gcs.json", public)
    with running(
        sys.executable, "-m", "tests.support.bucket_server", "gcs", str(public)
    ) as process:
        url = f"http://127.0.0.1:{first_line(process)}"
        request("PUT", f"{url}/{BUCKET}", x_test_setup="1")
        yield {
            "type": "gcs",
            "bucket": BUCKET,
            "endpoint": url,
            "credentials_file": key_file,
            "stranger": service_account(folder / "gcs-stranger.json", folder / "other.pem"),
        }


def service_account(file: Path, public_file: Path) -> Path:
    """A service account's JSON; its public key is written, too."""
    key = generate_private_key(65_537, 2048)
    public_file.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "client_email": "agent@example.iam.gserviceaccount.com",
        "private_key": pem,
        "private_key_id": "1",
    }
    return private_file(file, json.dumps(account))


@contextmanager
def azure(folder: Path) -> Iterator[dict[str, Any]]:
    """Microsoft's Azurite."""
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
    environment = os.environ | {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}
    with running(
        "node",
        str(AZURITE),
        *options,
        "--disableTelemetry",
        "--skipApiVersionCheck",
        env=environment,
        cwd=folder,
    ) as process:
        while "successfully listens" not in (line := first_line(process)):
            pass
        account = f"{line.rpartition(' ')[2]}/{AZURE_ACCOUNT}"
        stamp = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        signed = "\n".join([
            "PUT", *[""] * 11, f"x-ms-date:{stamp}", "x-ms-version:2021-08-06",
            f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}", "restype:container",
        ])  # fmt: skip
        mac = hmac.digest(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256)
        request(
            "PUT",
            f"{account}/{BUCKET}?restype=container",
            x_ms_date=stamp,
            x_ms_version="2021-08-06",
            Authorization=f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(mac).decode()}",
        )
        yield {
            "type": "azure",
            "account": AZURE_ACCOUNT,
            "container": BUCKET,
            "endpoint": account,
            "credentials_file": private_file(folder / "azure-key", f"{AZURE_KEY}\n"),
            "stranger": private_file(
                folder / "azure-stranger", base64.b64encode(b"no key").decode()
            ),
        }


@contextmanager
def sftp(folder: Path) -> Iterator[dict[str, Any]]:
    """OpenSSH's sshd, a process for each connection; the account is that of this process."""
    keys = {}
    for name in ("host", "user", "stranger"):
        keys[name] = folder / f"ssh-{name}"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys[name]], check=True
        )
    (folder / "authorized").write_text(keys["user"].with_suffix(".pub").read_text())
    config = folder / "sshd_config"
    config.write_text(
        f"HostKey {keys['host']}\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\n"
        "LogLevel QUIET\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd starts with it only
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd is not None, "needs openssh-server"
    with Listener() as listener:
        listener.serve([sshd, "-i", "-f", str(config)])
        host_key = keys["host"].with_suffix(".pub").read_text()
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{listener.port} {host_key}")
        other = folder / "known_hosts-other"
        stranger_key = keys["stranger"].with_suffix(".pub").read_text()
        other.write_text(f"[127.0.0.1]:{listener.port} {stranger_key}")
        yield {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": listener.port,
            "user": getuser(),
            "path": str(folder / "sftp"),
            "key_file": keys["user"],
            "known_hosts_file": known,
            "stranger": keys["stranger"],
            "other_hosts": other,
            "host_key": host_key,
        }


class Listener:
    """Hands each connection to a process of its own, as inetd does."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._children: list[subprocess.Popen[bytes]] = []
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def serve(self, command: list[str]) -> None:
        """In a thread."""
        self._thread = threading.Thread(target=self._accept, args=(command,))
        self._thread.start()

    def _accept(self, command: list[str]) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self._children.append(
                        subprocess.Popen(
                            command,
                            stdin=connection,
                            stdout=connection,
                            stderr=subprocess.DEVNULL,
                            start_new_session=True,
                        )
                    )

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread is not None:
            self._thread.join()
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


class HttpFaults:
    """A proxy to an HTTP server that goes wrong where a test says.

    `plan`: what becomes of the next requests of `method`, in turn: a status; "reset" before the
    server has it; "lost", when it has done it; "slow": no answer until the client goes.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.partition("://")[2].partition("/")[0].partition(":")
        self.plan: list[int | str] = []
        self.method = "PUT"
        self.requests = 0
        self.bodies: list[bytes] = []
        faults = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                mine = self.command == faults.method
                if mine:
                    faults.requests += 1
                fault = faults.plan.pop(0) if mine and faults.plan else ""
                if isinstance(fault, int):
                    self.send_response(fault)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if fault == "slow":
                    self.rfile.read(1)
                if fault in {"slow", "reset"}:
                    self.close_connection = True
                    return
                upstream = HTTPConnection(host, int(port), timeout=30)
                try:
                    upstream.putrequest(
                        self.command, self.path, skip_host=True, skip_accept_encoding=True
                    )
                    for name, value in self.headers.items():
                        upstream.putheader(name, value)
                    upstream.endheaders(body)
                    found = upstream.getresponse()
                    data = found.read()
                finally:
                    upstream.close()
                if fault == "lost":
                    self.close_connection = True
                    return
                self.send_response(found.status)
                for name, value in found.getheaders():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                length = found.getheader("Content-Length") if self.command == "HEAD" else len(data)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                with suppress(HTTPException, OSError):
                    self.wfile.write(data)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815  # its names

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = upstream.replace(f"{host}:{port}", f"127.0.0.1:{self._server.server_port}")

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class TcpFaults:
    """A way to a server that is cut when so many bytes have gone to it; then the next one.

    `stalls`: it stays open instead, and nothing more comes through.
    """

    def __init__(self, port: int) -> None:
        self.plan: list[int] = []
        self.connections = 0
        self.stalls = False
        self._ended = threading.Event()
        self._upstream = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._upstream))
                left = self.plan.pop(0) if self.plan else None
                self._open += [client, server]
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for one, other, bound in ((client, server, left), (server, client, None)):
                    thread = threading.Thread(target=self._carry, args=(one, other, bound))
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, one: socket.socket, other: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data[:left] if left is not None else data)
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        if self.stalls:
                            self._ended.wait()
                        break
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        for each in (self._socket, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._socket, *self._open):
            each.close()
