"""The units under which systemd runs rotation scripts."""

import os
import subprocess
from pathlib import Path

import pytest

SOCKET = "freehold-rotator.socket"
SERVICE = "freehold-rotator@.service"
EXPOSURE = 6
"""What `systemd-analyze security` may say at most, times ten: 0.5 is left."""


@pytest.fixture
def units(root: Path, tmp_path: Path) -> Path:
    """A folder with both, with a program in the service that exists on this machine."""
    for name in (SOCKET, SERVICE):
        text = (root / "deploy/systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/freehold/bin/python", "/bin/true"))
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no running manager for these."""
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
    return subprocess.run(
        ["systemd-analyze", *arguments],
        check=False, capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


def test_systemd_understands_every_line(units: Path) -> None:
    """A directive that systemd does not know is only a warning there, and would not confine."""
    found = analyze("verify", str(units / SOCKET), str(units / SERVICE))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_script_is_confined(units: Path) -> None:
    """The manager's own judgement of what a script could do."""
    service = str(units / SERVICE)
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", service)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "dropped", ["CapabilityBoundingSet", "PrivateNetwork", "SystemCallFilter", "DynamicUser"]
)
def test_a_softer_unit_would_be_noticed(dropped: str, units: Path) -> None:
    """The threshold is near enough that dropping one line fails the test above."""
    service = units / SERVICE
    lines = service.read_text().splitlines(keepends=True)
    service.write_text("".join(line for line in lines if not line.startswith(dropped)))
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(service))
    assert found.returncode != 0


def test_the_socket_is_the_agents_and_nothing_of_a_script_is_logged(units: Path) -> None:
    """What the launcher relies on, and what no score covers."""
    lines = set((units / SOCKET).read_text().splitlines())
    assert {"Accept=yes", "SocketUser=freehold", "SocketMode=0600"} <= lines
    lines = set((units / SERVICE).read_text().splitlines())
    assert {
        "StandardInput=socket",
        "StandardOutput=null",
        "StandardError=null",
        "KillMode=control-group",
        "DynamicUser=yes",
        "RestrictAddressFamilies=none",
        "IPAddressDeny=any",
        "TemporaryFileSystem=/etc/freehold:ro",
        "BindReadOnlyPaths=/etc/freehold/rotators.d",
    } <= lines
