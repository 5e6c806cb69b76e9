"""A disk that hangs, as a network's does: the vault can be sealed all the same, and stays so."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent, Answer, own_folder, running, served_agent

HOOK: Final = """
import os, time

def hanging(call):
    def made(fd):
        path = os.readlink(f"/proc/self/fd/{fd if isinstance(fd, int) else fd.fileno()}")
        while os.path.exists(os.path.join(os.path.dirname(path), "hangs")):
            time.sleep(0.02)
        return call(fd)
    return made

os.fsync, os.fdatasync = hanging(os.fsync), hanging(os.fdatasync)
"""
ANSWERED_WITHIN: Final = 20.0  # seconds; far above what a seal waits for
ENDED_WITHIN: Final = 60.0  # the agent's own limit is 30 s


@contextmanager
def unsealed(folder: Path, workers: int) -> Iterator[Agent]:
    """An agent with a key file, and a folder of its own for each of its places."""
    for name in ("hook", "key", "anchor", "log"):
        (folder / name).mkdir(mode=0o700)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    agent = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
            "encryption": {"key_management": "file", "key_file": f"{folder}/key/root.key"},
            "anchor": {"file": f"{folder}/anchor/vault.anchor"},
            "audit": {"enabled": True, "log_file": f"{folder}/log/audit.log"},
        },
    )
    agent.environment = {"PYTHONPATH": str(folder / "hook")}
    try:
        with running(agent):
            agent.token = agent.call("POST", "/v1/sys/init", {}).json["root_token"]
            yield agent
    finally:
        for flag in folder.glob("*/hangs"):
            flag.unlink()
        agent.kill()


def sealed(agent: Agent) -> Answer:
    """What who seals is told; it has to come in time."""
    answers: list[Answer] = []
    asking = threading.Thread(
        target=lambda: answers.append(agent.call("PUT", "/v1/sys/seal")), daemon=True
    )
    asking.start()
    asking.join(ANSWERED_WITHIN)
    assert answers, "the seal was not answered"
    return answers[0]


def hang(folder: Path) -> None:
    """Have no call on the folder's files come back."""
    (folder / "hangs").touch()


def assert_sealed(agent: Agent) -> None:
    """As anybody is told."""
    assert agent.call("GET", "/v1/sys/seal-status").json["sealed"]
    assert agent.call("GET", "/v1/sys/health").status == 503


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hanging_anchor_keeps_nobody_from_sealing(workers: int) -> None:
    """The database has the order: it is answered, the agent stops, and stays sealed after it."""
    with own_folder() as folder, unsealed(folder, workers) as agent:
        hang(folder / "anchor")
        assert sealed(agent).status == 204
        assert_sealed(agent)
        assert agent.stop() == 0
        (folder / "anchor" / "hangs").unlink()
        agent.start()
        assert_sealed(agent)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hanging_audit_log_keeps_nobody_from_sealing(workers: int) -> None:
    """Who sealed is told that there is no record; the process ends, for its keys to be gone."""
    with own_folder() as folder, unsealed(folder, workers) as agent:
        hang(folder / "log")
        told = sealed(agent)
        assert (told.status, "outcome: done" in str(told.json)) == (503, True)
        assert_sealed(agent)
        assert agent.process is not None
        assert agent.process.wait(ENDED_WITHIN) == 1
        agent.kill()
        assert "its intent is not on record" in agent.output()
        assert "the agent ends here" in agent.output()
        (folder / "log" / "hangs").unlink()
        agent.start()
        assert_sealed(agent)
