"""The `freehold` command, run to its end."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from tests.acceptance.maker import Kind, is_at_home, maker
from tests.support.run_times import timed_start

FREEHOLD = str(Path(sys.executable).parent / "freehold")
PATIENCE = 60.0  # seconds


def freehold(
    *arguments: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    anew: bool = False,
) -> subprocess.CompletedProcess[str]:
    """What it printed and how it ended; made by `maker` unless it has to be started `anew`."""
    told = {"PATH": os.environ["PATH"], **(environment or {})}
    run = _made if is_at_home() and not anew else _started
    with timed_start(f"freehold command, {'forked' if run is _made else 'anew'}"):
        return run([FREEHOLD, *arguments], stdin, told)


def _started(
    command: list[str], stdin: str, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment,
    )


def _made(
    command: list[str], stdin: str, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as errors:
        given.write(stdin)
        given.seek(0)
        kind: Kind = "control" if command[1] == "control" else "agent"
        made = maker(kind).make(command, environment, out, errors, given)
        try:
            code = made.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            made.kill()
            made.wait()
            raise
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), errors.read())
