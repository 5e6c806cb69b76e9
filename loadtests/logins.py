"""Logins beside OpenBao's: `python -m loadtests.logins [--seconds 5] [--rounds 3]` prints Markdown.

Each method on both servers in turns: logins a second over 8 connections, latency, and the server's
CPU for each. Then what reads cost with the tokens of logins, and while logins are attempted.
"""

import argparse
import json
import re
import ssl
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadtests.api import retry_while_settling
from loadtests.servers import (
    FIRST,
    Freehold,
    OpenBao,
    Server,
    pausing_others,
    running_servers,
    scratch_folder,
)

COLUMNS: Final = "a second | p50, ms | p99, ms | CPU of one, ms |\n|---|---|--:|--:|--:|--:|"
WRK: Final = "wrk"
AT_ONCE: Final = 8  # connections
ATTEMPTS: Final = 50  # logins a second that reads are looked at beside
PASSWORD: Final = "correct horse battery staple"
SCRIPT: Final = """
wrk.method = "%(method)s"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Vault-Token"] = "%(token)s"
%(body)s
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("FIGURES %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
_FIGURES: Final = re.compile(r"FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)")


class Request(NamedTuple):
    """What wrk sends over and over."""

    method: str
    path: str
    body: Any = None
    token: str = ""


class Run(NamedTuple):
    """`rate` a second; latencies in ms; the server's CPU of each in ms."""

    rate: float
    p50: float
    p99: float
    cpu: float


def run(server: Server, request: Request, seconds: int, folder: Path) -> Run:
    """One run of wrk. Raises `RuntimeError` for an answer that is not 2xx or 3xx."""
    script = folder / "logins.lua"
    body = "" if request.body is None else f"wrk.body = [==[{json.dumps(request.body)}]==]"
    script.write_text(
        SCRIPT % {"method": request.method, "token": request.token, "body": body}
    )  # a file of its own: a password is not on a command line
    before = server.cpu_seconds()
    done = subprocess.run(  # noqa: S603  # our own command
        [WRK, "-t1", f"-c{AT_ONCE}", f"-d{seconds}s", "--timeout", "30", "-s", str(script),
         f"{server.base}{request.path}"],
        capture_output=True, text=True, timeout=seconds + 60, check=True,
    )  # fmt: skip
    found = _FIGURES.search(done.stdout)
    if found is None or int(found[3]) or not int(found[1]):
        raise RuntimeError(f"{server.name}, {request.path}: {done.stdout}{done.stderr}")
    count, microseconds, _, p50, p99 = map(int, found.groups())
    cpu = (server.cpu_seconds() - before) / count * 1e3
    return Run(count / microseconds * 1e6, p50 / 1e3, p99 / 1e3, cpu)


def prepare(server: Server) -> dict[str, Request]:
    """Enable the methods of a server; a request of each that logs in."""
    api = server.api(server.root_token)

    def ask(method: str, path: str, body: Any = None) -> Any:
        return retry_while_settling(lambda: api.call(method, f"/v1/{path}", body))

    for method in ("approle", "userpass", "jwt"):
        api.call("POST", f"/v1/sys/auth/{method}", {"type": method})
    granted = {"token_policies": ["bench"], "token_ttl": "1h"}
    ask("POST", "auth/approle/role/job", granted)
    role = ask("GET", "auth/approle/role/job/role-id")["data"]["role_id"]
    secret = ask("POST", "auth/approle/role/job/secret-id", {})["data"]["secret_id"]
    ask("POST", "auth/userpass/users/ann", {"password": PASSWORD, **granted})
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [public.decode()]})
    ask(
        "POST",
        "auth/jwt/role/job",
        {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], **granted},
    )
    now = int(time.time())
    claims = {"sub": "job", "aud": "vault", "iat": now, "nbf": now, "exp": now + 7200}
    signed = jwt.encode(claims, key, "ES256")
    return {
        "a token by a token": Request(
            "POST", "/v1/auth/token/create", {"ttl": "1h"}, token=server.token
        ),
        "AppRole": Request(
            "POST", "/v1/auth/approle/login", {"role_id": role, "secret_id": secret}
        ),
        "JWT (ES256)": Request("POST", "/v1/auth/jwt/login", {"role": "job", "jwt": signed}),
        "userpass": Request("POST", "/v1/auth/userpass/login/ann", {"password": PASSWORD}),
    }


def log_in(server: Server, request: Request) -> str:
    """The token of a login."""
    found = server.api("").call(request.method, request.path, request.body)
    return str(found["auth"]["client_token"])


@contextmanager
def attempting(server: Server, request: Request) -> Iterator[list[float]]:
    """Have `ATTEMPTS` logins begin a second, whatever the server makes of them.

    Yields the seconds that each took; over the block's end none begins.
    """
    took: list[float] = []
    stopped = threading.Event()
    tls = ssl.create_default_context(cafile=str(server.ca))

    def attempt(number: int) -> None:
        connection = HTTPSConnection("127.0.0.1", server.port, timeout=60, context=tls)
        begin = time.monotonic() + number / ATTEMPTS
        while not stopped.wait(max(begin - time.monotonic(), 0)):
            started = time.monotonic()
            connection.request("POST", request.path, json.dumps(request.body))
            connection.getresponse().read()
            took.append(time.monotonic() - started)
            begin += 1
        connection.close()

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(ATTEMPTS)]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def middle(runs: list[Run]) -> Run:
    """Of each figure the middle one."""
    return Run(*(statistics.median(figures) for figures in zip(*runs, strict=True)))


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with scratch_folder() as scratch:
        servers: list[Server] = [OpenBao(scratch / "bao"), Freehold(scratch / "freehold")]
        with running_servers(*servers):
            for server in servers:
                server.folder.mkdir()
                server.set_up()
            requests = {server.name: prepare(server) for server in servers}
            compare_logins(servers, requests, asked, scratch)
            compare_reads(servers, requests, asked, scratch)


def compare_logins(
    servers: list[Server],
    requests: dict[str, dict[str, Request]],
    asked: argparse.Namespace,
    scratch: Path,
) -> None:
    """A table of methods."""
    print(f"| login | server | {COLUMNS}")
    for name in next(iter(requests.values())):
        found: dict[str, list[Run]] = {server.name: [] for server in servers}
        for _ in range(asked.rounds):
            for server in servers:
                with pausing_others(server, servers):
                    request = requests[server.name][name]
                    found[server.name].append(run(server, request, asked.seconds, scratch))
        for server in servers:
            it = middle(found[server.name])
            print(
                f"| {name} | {server.name} | {it.rate:.0f} | {it.p50:.1f} | {it.p99:.1f} "
                f"| {it.cpu:.2f} |",
                flush=True,
            )


def compare_reads(
    servers: list[Server],
    requests: dict[str, dict[str, Request]],
    asked: argparse.Namespace,
    scratch: Path,
) -> None:
    """Reads with different tokens, and beside logins."""
    print(f"\n| reads | server | {COLUMNS}")
    for server in servers:
        userpass = requests[server.name]["userpass"]
        tokens = {
            "with a token": server.token,
            "with a token of userpass": log_in(server, userpass),
            "with a token of JWT": log_in(server, requests[server.name]["JWT (ES256)"]),
        }
        found: dict[str, list[Run]] = {}
        with pausing_others(server, servers):
            for _ in range(asked.rounds):
                for name, token in tokens.items():
                    read = Request("GET", FIRST, token=token)
                    found.setdefault(name, []).append(run(server, read, asked.seconds, scratch))
                beside = f"with a token, while {ATTEMPTS} userpass logins a second begin"
                with attempting(server, userpass) as took:
                    read = Request("GET", FIRST, token=server.token)
                    found.setdefault(beside, []).append(run(server, read, asked.seconds, scratch))
                logins = len(took) / asked.seconds
        for name, runs in found.items():
            it = middle(runs)
            cpu = "" if "logins" in name else f"{it.cpu:.3f}"  # of both, else
            print(
                f"| {name} | {server.name} | {it.rate:.0f} | {it.p50:.2f} | {it.p99:.1f} | {cpu} |",
                flush=True,
            )
        print(f"| (logins that were answered meanwhile) | {server.name} | {logins:.0f} | | | |")


if __name__ == "__main__":
    main()
