"""Runs the steps of a story with the real `bao` client, and tells what came of each."""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.compat.normal import normal_output, normal_text
from tests.acceptance.compat.servers import BAO, Server
from tests.acceptance.compat.stories import Step

PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """What somebody at a terminal sees of one command, its volatile parts replaced."""

    command: str
    exit_code: int
    output: Any
    errors: str


def tell(server: Server, story: list[Step], home: Path, mount: str = "") -> list[Outcome]:
    """Run the steps one after the other."""
    kept: dict[str, str] = {}
    return [_run(server, step, home, mount, kept) for step in story]


def _run(server: Server, step: Step, home: Path, mount: str, kept: dict[str, str]) -> Outcome:
    arguments = [
        part.format_map(kept) for part in shlex.split(step.command.replace("MOUNT", mount))
    ]
    token = kept[step.as_token] if step.as_token else server.token
    done = subprocess.run(
        [BAO, *arguments],
        input=step.stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "BAO_ADDR": server.address,
            "BAO_TOKEN": token,
            "BAO_MAX_RETRIES": "0",
            "GOGC": "off",  # a process of a tenth of a second
        },
    )
    for name, path in step.keep.items():
        kept[name] = _at(json.loads(done.stdout), path)
    if step.differs:
        return Outcome(step.command, done.returncode, step.differs, "")
    return Outcome(
        step.command, done.returncode, normal_output(done.stdout), normal_text(done.stderr)
    )


def _at(value: Any, path: str) -> str:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return str(value)
