import os
import subprocess
from pathlib import Path

import pytest

UNIT = "freehold-agent.service"
EXPOSURE = 15
"""What `systemd-analyze security` may say at most, times ten: 1.1 is left by TCP and the root."""


@pytest.fixture
def unit(root: Path, tmp_path: Path) -> Path:
    """The unit, with a program in it that exists on this machine."""
    text = (root / "deploy/systemd" / UNIT).read_text()
    copy = tmp_path / UNIT
    copy.write_text(text.replace("/opt/freehold/bin/freehold", "/bin/true"))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no running manager for these."""
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
    return subprocess.run(
        ["systemd-analyze", *arguments],
        check=False, capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


def test_systemd_understands_every_line(unit: Path) -> None:
    """A directive that systemd does not know is only a warning there, and would not harden."""
    found = analyze("verify", str(unit))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_systemd_understands_the_socket_and_the_credentials(root: Path, unit: Path) -> None:
    """Both are optional, and complete the service as it is."""
    folder = root / "deploy/systemd"
    sock = unit.with_name("freehold-agent.socket")
    sock.write_text((folder / sock.name).read_text())
    drop_in = unit.with_name(f"{UNIT}.d")
    drop_in.mkdir()
    example = folder / f"{UNIT}.d/credentials.conf.example"
    (drop_in / "credentials.conf").write_text(example.read_text())
    found = analyze("verify", str(unit), str(sock))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_reload_needs_no_other_package(root: Path) -> None:
    """A minimal Debian has no /bin/kill; each shell has one of its own."""
    for name in (UNIT, "freehold-control.service"):
        lines = (root / "deploy/systemd" / name).read_text().splitlines()
        assert "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'" in lines


def test_the_service_is_hardened(unit: Path) -> None:
    """The manager's own judgement of what the agent could still do if it were taken over."""
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(unit))
    assert found.returncode == 0, found.stdout


def test_a_softer_service_would_be_noticed(unit: Path) -> None:
    """The threshold is near enough that dropping a few lines fails the test above."""
    lines = unit.read_text().splitlines(keepends=True)
    dropped = ("NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet", "SystemCallFilter")
    unit.write_text("".join(line for line in lines if not line.startswith(dropped)))
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(unit))
    assert found.returncode != 0


def test_the_manager_is_told_when_it_serves(unit: Path) -> None:
    """`Type=notify` and the watchdog belong to what `protocols.systemd` sends."""
    lines = unit.read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=30"} <= set(lines)
