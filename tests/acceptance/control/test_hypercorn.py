"""The control plane under another ASGI server: docs/guides/other-asgi-servers.md."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.process import free_port
from tests.acceptance.agent import Client
from tests.acceptance.control.plane import API, initialize
from tests.acceptance.patience import PATIENCE, until
from tests.newest import place_control


def write_settings(folder: Path) -> Path:
    """Plain HTTP on loopback, as behind Hypercorn on this machine; no agents."""
    file = folder / "control.yaml"
    place_control(folder)
    settings = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "database": {"url": f"sqlite:///{folder}/control.db"},
        "keys": {"folder": str(folder / "keys")},
    }
    file.write_text(json.dumps(settings))
    return file


@contextmanager
def hypercorn(file: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """As the guide has it."""
    command = [sys.executable, "-m", "hypercorn", "--worker-class", "trio",
               "--bind", f"127.0.0.1:{port}", "control.asgi:app"]  # fmt: skip
    process = subprocess.Popen(
        command, text=True, stderr=subprocess.PIPE,
        env={**os.environ, "FREEHOLD_CONTROL_CONFIG": str(file)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_live(port: int) -> bool:
    """Whether it answers."""
    try:
        with Client(port, "") as client:
            return client.call("GET", "/health/ready").status == 200
    except OSError:
        return False


def test_api_pages_and_an_orderly_end(folder: Path) -> None:
    """Health, a sign-in, the dashboard's page, and SIGTERM with exit code 0."""
    file, port = write_settings(folder), free_port()
    initialize(file)
    with hypercorn(file, port) as process:
        until(lambda: is_live(port) or process.poll() is not None, "it does not serve")
        password = (folder / "password").read_text().strip()
        body = {"organization": "platform", "name": "admin", "password": password}
        with Client(port, "") as client:
            headers = {"Content-Type": "application/json"}
            session = client.call("POST", f"{API}sessions", body, headers=headers)
            assert session.status == 200
            assert client.call("GET", "/").status == 200
        with Client(port, session.json["secret"]) as client:
            assert client.call("GET", f"{API}whoami").json["name"] == "admin"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("fault", ["settings", "not initialized"])
def test_what_it_cannot_start_with_is_said(folder: Path, fault: str) -> None:
    """And the server ends (with exit code 0, as Hypercorn does): nobody is answered by half."""
    file = write_settings(folder)
    if fault == "settings":
        file.write_text(json.dumps({"server": {}}))
    with hypercorn(file, free_port()) as process:
        process.wait(PATIENCE)
        assert process.stderr is not None
        said = process.stderr.read()
    assert ("server.listen: is missing" if fault == "settings" else "control init") in said
