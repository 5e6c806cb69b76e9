"""A program counts while it is told to, and only then."""

import json
import os
import subprocess
import sys
from pathlib import Path

from loadtests.bytecode_profile.counted import sitecustomize

PROGRAM = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def work(): return len("x")
work()
(folder / "on").touch()
time.sleep(0.3)
for _ in range(3): work()
if os.fork() == 0:
    time.sleep(0.3)
    for _ in range(5): work()
    (folder / "on").unlink()
    time.sleep(0.6)
    os._exit(0)
os.wait()
work()
"""


def test_what_runs_meanwhile_is_counted(tmp_path: Path) -> None:
    """Each process counts its own; before Python 3.12 nobody does, and the program runs as ever."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(sitecustomize.__file__).parent),
        "FREEHOLD_STEPS": str(tmp_path),
    }
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=60)
    told = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    starts = [
        (starts, calls)
        for functions in told
        for name, steps, starts, calls in functions
        if name.endswith(" work") and steps
    ]
    assert sorted(starts) == ([(3, 3), (5, 5)] if hasattr(sys, "monitoring") else [])
