"""From an installed program to a first secret over TLS, as docs/start/install.md has it."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PATIENCE: Final = 60.0  # seconds that a start may take on a busy machine
VALUE: Final = "s3cret"
_CONFIGURATION: Final = """\
server:
  listen: "127.0.0.1:{port}"
  workers: 2
  web: true
  tls: {{cert_file: "{folder}/server.crt", key_file: "{folder}/server.key"}}
storage: {{connection_string: "sqlite:///{folder}/data/vault.db"}}
encryption: {{key_management: "file", key_file: "{folder}/key/root.key"}}
audit: {{log_file: "{folder}/log/audit.log"}}
anchor: {{file: "{folder}/anchor/vault.anchor"}}
"""
_CONTROL: Final = """\
server: {{listen: "127.0.0.1:{port}", tls: {{enabled: false}}}}
link: {{listen: "127.0.0.1:{link}", hosts: ["127.0.0.1"], authority: "{folder}/ca"}}
database: {{url: "sqlite:///{folder}/control.db"}}
keys: {{folder: "{folder}/keys"}}
"""


class Installation:
    """A program and how it is run.

    `prefix`: what goes before it, as `chroot DIR runuser -u freehold --`; `folder`: its working
    folder, as the program sees it, and `outside`, as this process does.
    """

    def __init__(
        self, program: Sequence[str], folder: str, outside: Path, prefix: Sequence[str] = ()
    ) -> None:
        self.command = [*prefix, *program]
        self.prefix = list(prefix)
        self.folder = folder
        self.outside = outside
        self.port = free_port()
        self.environment = {
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": folder,
            "FREEHOLD_ADDR": f"https://127.0.0.1:{self.port}",
            "FREEHOLD_CACERT": f"{folder}/ca.crt",
        }

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """Its output. Raises `SystemExit` with what it said if it fails."""
        done = subprocess.run(
            [*self.command, *arguments], input=stdin, capture_output=True, text=True, check=False,
            env={**self.environment, **environment}, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A server, whose output goes to `server.log`."""
        log = (self.outside / "server.log").open("ab")
        return subprocess.Popen(
            [*self.command, *arguments], env=self.environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def free_port() -> int:
    """Nobody listens there now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def make_certificate(folder: Path) -> None:
    """An authority `ca.crt`, and `server.crt` for 127.0.0.1."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        folder, "req", "-x509", *curve, "-days", "2", "-subj", "/CN=Test authority",
        "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.crt",
    )  # fmt: skip
    openssl(folder, "req", *curve, "-subj", "/CN=agent", "-keyout", "server.key", "-out", "csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        folder, "x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2",
        "-extfile", "names", "-out", "server.crt",
    )  # fmt: skip


def openssl(folder: Path, *arguments: str) -> None:
    """Run it there."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def first_secret(installed: Installation, owner: Sequence[int] = ()) -> float:
    """Seconds from the configuration to a secret that was read over TLS, with two workers.

    `owner`: uid and gid of the folder's files. Raises `SystemExit`.
    """
    outside, folder = installed.outside, installed.folder
    make_certificate(outside)
    for name in ("data", "key", "log", "anchor"):
        (outside / name).mkdir(mode=0o700)
    text = _CONFIGURATION.format(port=installed.port, folder=folder)
    (outside / "vault.yaml").write_text(text)
    if owner:
        for path in [outside, *outside.rglob("*")]:
            os.chown(path, *owner)
    began = time.monotonic()
    server = installed.start("agent", "serve", "--config", f"{folder}/vault.yaml")
    try:
        wait_for(installed.port, server, outside)
        made = json.loads(installed.run("operator", "init", "--output", "json"))
        token = made["root_token"]
        installed.run("mount", "create", "secret/", FREEHOLD_TOKEN=token)
        installed.run("secret", "put", "secret/app/db", stdin=VALUE, FREEHOLD_TOKEN=token)
        read = installed.run("secret", "get", "secret/app/db", "--raw", FREEHOLD_TOKEN=token)
        if read.strip() != VALUE:
            raise SystemExit(f"another value was read: {read!r}")
        taken = time.monotonic() - began
        given = installed.run(
            "run", "--env", "DB_PASSWORD=secret/app/db", "--", "/usr/bin/env",
            FREEHOLD_TOKEN=token, LD_LIBRARY_PATH="/before",
        ).splitlines()  # fmt: skip
        if not {f"DB_PASSWORD={VALUE}", "LD_LIBRARY_PATH=/before"} <= set(given):
            raise SystemExit("a program gets no secret, or not its own environment")
        _require_page(installed)
    finally:
        stop(server)
    return taken


def check_control_plane(installed: Installation) -> None:
    """Its migrations run, and it serves its pages."""
    port, link = free_port(), free_port()
    outside = installed.outside
    text = _CONTROL.format(port=port, link=link, folder=installed.folder)
    (outside / "control.yaml").write_text(text)
    configured = ("--config", f"{installed.folder}/control.yaml")
    installed.run(
        "control", "init", "acme", *configured, "--root", f"{installed.folder}/root",
        "--password-file", f"{installed.folder}/password",
    )  # fmt: skip
    server = installed.start("control", "serve", *configured)
    try:
        wait_for(port, server, outside)
        if "<html" not in fetch(f"http://127.0.0.1:{port}/"):
            raise SystemExit("the control plane serves no page")
    finally:
        stop(server)


def _require_page(installed: Installation) -> None:
    page = fetch(f"https://127.0.0.1:{installed.port}/", installed.outside / "ca.crt")
    if "<html" not in page:
        raise SystemExit("the agent serves no page")


def fetch(url: str, authority: Path | None = None) -> str:
    """By curl, a client that has nothing of ours."""
    trusted = ["--cacert", str(authority)] if authority else []
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--location", *trusted, url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def wait_for(port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    """Until it listens. Raises `SystemExit` with what it wrote if it ends before, or does not."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    stop(server)
    raise SystemExit(f"it does not listen: {(folder / 'server.log').read_text()}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """In order, and with all that it has started."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def start_up(program: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds of processor time of `--version`, the least of some."""
    return min(_one_start(program, environment) for _ in range(20))


def _one_start(program: Sequence[str], environment: Mapping[str, str]) -> float:
    null = os.open(os.devnull, os.O_RDWR)
    redirected = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    child = os.posix_spawn(
        program[0], [*program, "--version"], environment, file_actions=redirected
    )
    used = os.wait4(child, 0)[2]
    os.close(null)
    return used.ru_utime + used.ru_stime
