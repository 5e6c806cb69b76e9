"""The port belongs to systemd: the agent accepts from it, and leaves it as it was."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.agent import Client
from tests.acceptance.command import FREEHOLD
from tests.acceptance.patience import PATIENCE, until
from tests.newest import place_vault

START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does between fork and exec (sd_listen_fds(3))."""


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_wait_until_the_agent_is_there(folder: Path, workers: int) -> None:
    """One that is made before the start is answered, and after the end the socket is open still."""
    place_vault(folder)
    server = {"listen": "127.0.0.1:1", "tls": {"enabled": False}, "workers": workers}
    config = folder / "vault.yaml"
    storage = {"connection_string": f"sqlite:///{folder}/vault.db"}
    config.write_text(json.dumps({"server": server, "storage": storage}))
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager,
    ):
        manager.bind(str(folder / "notify"))
        manager.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        with Client(port, "", patience=PATIENCE) as early:
            command = [
                sys.executable,
                "-c",
                START,
                str(listener.fileno()),
                FREEHOLD,
                "agent",
                "serve",
            ]
            process = subprocess.Popen(
                [*command, "--config", str(config)],
                pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            )  # fmt: skip
            try:
                assert early.call("GET", "/health/live").status == 200
                assert manager.recv(256).startswith(b"READY=1")  # signals are heard from then on
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()
                process.wait()
        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE)):
            until(lambda: process.poll() is not None, "it runs still")
