"""The client processes."""

import subprocess
import sys

import pytest

from loadtests.fleet import clients
from loadtests.fleet.clients import ClientProcesses


@pytest.mark.parametrize(
    ("code", "told"),
    [("import time; time.sleep(60)", "has said nothing for"), ("", "is gone")],
)
def test_a_client_that_hangs_or_is_gone_ends_the_run(
    code: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of being waited for."""
    monkeypatch.setattr(clients, "BEHIND", 0.2 if code else 30.0)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            with pytest.raises(ChildProcessError, match=told):
                ClientProcesses([process]).answers()
        finally:
            process.kill()
