import os
import socket
import subprocess
from pathlib import Path

from tests.acceptance.command import FREEHOLD
from tests.acceptance.ports import port_for_a_run


def test_once_ends_after_the_first_secret(root: Path, folder: Path) -> None:
    """By itself, with nothing left running, and it says what happened."""
    port = port_for_a_run()
    done = subprocess.run(
        [str(root / "tools/run.sh"), FREEHOLD, str(port), str(folder / "run")],
        env={**os.environ, "ONCE": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '{"greeting":"hello"}' in done.stdout.replace(": ", ":")
    assert "Ctrl-C" not in done.stdout
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
