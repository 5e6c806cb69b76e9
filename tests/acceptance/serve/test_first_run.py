"""From an empty folder to the first secret over TLS, with what the commands print."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtests.process import free_port
from tests.acceptance.command import FREEHOLD, freehold
from tests.acceptance.patience import PATIENCE, until


@contextmanager
def serving(config: Path) -> Iterator["subprocess.Popen[str]"]:
    """`agent serve`, until it answers its own health check."""
    command = [FREEHOLD, "agent", "serve", "--config", str(config)]
    process = subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL)
    try:
        health = ("agent", "health", "--config", str(config))
        until(lambda: freehold(*health).returncode == 0, "it does not serve")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_from_an_empty_folder_to_a_secret(folder: Path) -> None:
    """`agent init`, `serve`, `operator init`, a secret; the doctor before, while and after."""
    config, port = folder / "etc/vault.yaml", free_port()
    places = ("--data-dir", str(folder / "data"), "--log-dir", str(folder / "logs"))
    asked = ("--listen", f"127.0.0.1:{port}", "--name", "localhost", "--key-management", "file")
    made = freehold("agent", "init", "--config", str(config), *places, *asked)
    assert f"wrote {config}" in made.stderr
    assert f"freehold agent serve --config {config}" in made.stderr
    assert "update-ca-certificates" in made.stderr
    assert "not_initialized" in codes(config)
    environment = {
        "FREEHOLD_ADDR": f"https://localhost:{port}",
        "FREEHOLD_CACERT": str(folder / "etc/tls/ca.crt"),
    }
    with serving(config):
        assert freehold("agent", "health", "--config", str(config), "--ready").returncode != 0
        told = call(environment, "operator", "init")
        environment["FREEHOLD_TOKEN"] = told["root_token"]
        call(environment, "mount", "create", "secret")
        call(environment, "secret", "put", "secret/app/db", stdin="s3cret")
        assert call(environment, "secret", "get", "secret/app/db")["value"] == "s3cret"
        assert freehold("agent", "health", "--config", str(config), "--ready").returncode == 0
        assert not {"sealed", "not_initialized", "port_taken"} & codes(config)
        call(environment, "operator", "seal")
        assert "sealed" in codes(config)
        renewed = freehold("agent", "certificate", "renew", "--config", str(config))
        assert renewed.returncode == 0, renewed.stderr
    assert freehold("agent", "health", "--config", str(config)).returncode == 6
    errors = {found["code"] for found in findings(config) if found["severity"] == "error"}
    assert errors <= {"disk_in_memory"}  # where tests write (tests/scratch.py)


def call(environment: dict[str, str], *words: str, stdin: str = "") -> Any:
    """What a command prints, as JSON."""
    done = freehold(*words, "-o", "json", stdin=stdin, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def findings(config: Path) -> list[dict[str, str]]:
    """Of the doctor."""
    done = freehold("doctor", "--config", str(config), "--name", "localhost", "-o", "json")
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def codes(config: Path) -> set[str]:
    """Of its findings."""
    return {found["code"] for found in findings(config)}
