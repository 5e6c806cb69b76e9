"""What prepares a machine and looks after it, at the terminal."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import Run


@pytest.fixture
def control_file(tmp_path: Path) -> Path:
    """Settings of a control plane that has no certificate yet, on a port where nobody is."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "control.yaml"
    tls = {"cert_file": "tls/server.crt", "key_file": "tls/server.key"}
    database, keys = {"url": f"sqlite:///{tmp_path}/control.db"}, {"folder": "keys"}
    server = {"listen": f"127.0.0.1:{port}", "tls": tls}
    file.write_text(json.dumps({"server": server, "database": database, "keys": keys}))
    return file


def test_a_control_plane_gets_a_certificate_once(cli: Run, control_file: Path) -> None:
    """Where its settings want it; what is there stays."""
    command = ("control", "certificate", "create", "--config", str(control_file))
    made = cli(*command, "--name", "control.example.com")
    assert made.code == 0, made.err
    assert "for control.example.com" in made.err
    before = (control_file.parent / "tls/server.crt").read_bytes()
    assert "kept" in cli(*command, "--name", "other.example.com").err
    assert (control_file.parent / "tls/server.crt").read_bytes() == before


def test_without_tls_there_is_no_certificate_to_make(cli: Run, control_file: Path) -> None:
    """And it says so."""
    settings = json.loads(control_file.read_text())
    settings["server"]["tls"] = {"enabled": False}
    control_file.write_text(json.dumps(settings))
    command = ("control", "certificate", "create", "--config", str(control_file))
    done = cli(*command, "--name", "control.example.com")
    assert (done.code, "nothing to make" in done.err) == (1, True)


def test_a_server_that_is_not_there_is_not_healthy(cli: Run, control_file: Path) -> None:
    """Exit code 6, for the health check of a container."""
    done = cli("control", "health", "--config", str(control_file))
    assert done.code == 6
    assert "nobody answers" in done.err


def test_settings_that_cannot_be_read_are_a_finding(cli: Run, tmp_path: Path) -> None:
    """The doctor finds it as anything else, also for programs."""
    file = tmp_path / "vault.yaml"
    file.write_text("server: {port: 8200}")
    done = cli("doctor", "--config", str(file), "-o", "json")
    assert done.code == 1
    assert {found["code"] for found in done.json} == {"settings_invalid"}
    shown = cli("doctor", "--config", str(file))
    assert "(settings_invalid)\n  correct it" in shown.out


@pytest.mark.parametrize("command", [("agent", "init"), ("doctor",)])
def test_an_unknown_user_is_refused(cli: Run, tmp_path: Path, command: tuple[str]) -> None:
    """With the command that makes one; nothing is made."""
    file = tmp_path / "etc/vault.yaml"
    done = cli(*command, "--config", str(file), "--user", "no-such-user")
    assert done.code == 3
    assert "useradd --system no-such-user" in done.err
    assert not file.parent.exists()
