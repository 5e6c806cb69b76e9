"""`honcho start` runs both programs, and ends both."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from loadtests.process import free_port
from tests.acceptance.agent import Client
from tests.acceptance.command import FREEHOLD
from tests.acceptance.control.plane import initialize
from tests.acceptance.patience import PATIENCE, until
from tests.newest import place_control


def is_live(port: int) -> bool:
    """Whether a program answers there."""
    try:
        with Client(port, "") as client:
            return client.call("GET", "/health/live").status == 200
    except OSError:
        return False


def test_both_programs_run_and_end(folder: Path, root: Path) -> None:
    """From the repository's own Procfile, with the files that its variables name."""
    ports = {"agent": free_port(), "control": free_port()}
    server = {name: {"listen": f"127.0.0.1:{port}", "tls": {"enabled": False}}
              for name, port in ports.items()}  # fmt: skip
    agent, control = folder / "vault.yaml", folder / "control.yaml"
    storage = {"connection_string": f"sqlite:///{folder}/vault.db"}
    agent.write_text(json.dumps({"server": server["agent"] | {"workers": 1}, "storage": storage}))
    place_control(folder)
    database, keys = {"url": f"sqlite:///{folder}/control.db"}, {"folder": str(folder / "keys")}
    control.write_text(
        json.dumps({"server": server["control"], "database": database, "keys": keys})
    )
    initialize(control)
    shutil.copy(root / "Procfile", folder)
    environment = {
        **os.environ,
        "PATH": f"{Path(FREEHOLD).parent}:{os.environ['PATH']}",
        "FREEHOLD_CONFIG": str(agent),
        "FREEHOLD_CONTROL_CONFIG": str(control),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "honcho", "start"],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        until(lambda: all(map(is_live, ports.values())) or process.poll() is not None, "not live")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert "agent.1" in said
    assert "control.1" in said
    assert not any(map(is_live, ports.values()))
