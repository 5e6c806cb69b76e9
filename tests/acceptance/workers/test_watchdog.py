"""Workers that stand still are noticed by systemd's watchdog: nobody would be answered."""

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from loadtests.process import free_port, process_tree
from tests.acceptance.command import FREEHOLD
from tests.acceptance.patience import PATIENCE, until
from tests.newest import place_vault

INTERVAL = 4_000_000
"""Microseconds; workers show a sign of life each second."""


def test_workers_that_stand_still_starve_it(folder: Path) -> None:
    """It is fed while they live, not while they are stopped, and again once they go on."""
    place_vault(folder)
    server = {"listen": f"127.0.0.1:{free_port()}", "tls": {"enabled": False}, "workers": 2}
    config, said = folder / "vault.yaml", folder / "said"
    storage = {"connection_string": f"sqlite:///{folder}/vault.db"}
    config.write_text(json.dumps({"server": server, "storage": storage}))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, said.open("w") as output:
        manager.bind(str(folder / "notify"))
        manager.settimeout(PATIENCE)
        told = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(INTERVAL)}
        process = subprocess.Popen(
            [FREEHOLD, "agent", "serve", "--config", str(config)],
            env={**os.environ, **told}, stderr=output,
        )  # fmt: skip
        try:
            assert manager.recv(256).startswith(b"READY=1")
            assert manager.recv(256) == b"WATCHDOG=1"
            others = [pid for pid in process_tree(process.pid) if pid != process.pid]
            assert len(others) >= 2
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            until(lambda: "does not serve any more" in said.read_text(), "nobody notices")
            for pid in others:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            while manager.recv(256) != b"WATCHDOG=1":  # one may have been sent before
                pass
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
