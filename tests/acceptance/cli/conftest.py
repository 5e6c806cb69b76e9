"""The real command against the real agent."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent
from tests.acceptance.command import freehold

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


def commands(agent: Agent, home: Path, token: str | None = None) -> Command:
    """Run `freehold …` against this agent; fails the test unless it ends with `code`.

    Each is made by `maker`. How commands start by themselves, which takes ten times as long, is for
    the README's tour and for `make run`, which have all kinds of them.
    """
    environment = {
        "HOME": str(home),
        "FREEHOLD_ADDR": agent.address,
        "FREEHOLD_TOKEN": agent.token if token is None else token,
    }

    def run(*words: str, stdin: str = "", code: int = 0, env: dict[str, str] | None = None) -> Done:
        told = environment | (env or {})
        done = freehold(*words, stdin=stdin, environment=told)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        if code:
            assert "Traceback" not in done.stderr
        return done

    return run


def decoded(done: Done) -> Any:
    """What it printed as JSON."""
    return json.loads(done.stdout)


@pytest.fixture
def cli(agent: Agent, folder: Path) -> Command:
    """The command with the root token, on an agent of this test alone."""
    return commands(agent, folder)


@pytest.fixture
def shared(shared_agent: Agent, tmp_path: Path) -> Command:
    """The command with the root token, on the agent of this module."""
    return commands(shared_agent, tmp_path)
