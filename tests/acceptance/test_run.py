import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ports import port_for_a_run

LAST_WORDS = "Ctrl-C stops the agents"
PATIENCE = 60.0  # seconds
LIVE_WITHIN = 5_000
"""Milliseconds: the promise, from the start of two agents until both are linked."""
BUSY = 2
"""The allowance for a machine that does other things meanwhile: CI's is about twice as slow as the
one that the promise was measured on. Where it takes more than this the promise is broken."""
CROWDED = 4.0
"""And at most so many times where more wants to run than there are processors."""
BEAT, OFFLINE_AFTER = 2.0, 10.0  # seconds, of tools/run.sh


@pytest.fixture
def freehold(tmp_path: Path) -> Path:
    """The console script of this environment, whether or not the project is installed in it."""
    script = tmp_path / "freehold"
    program = "from ui.cli.main import main; main()"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
    script.chmod(0o700)
    return script


@pytest.fixture
def port() -> int:
    """One that was free a moment ago, as were the others of a run."""
    return port_for_a_run()


@contextmanager
def tour(root: Path, freehold: Path, port: int, folder: Path) -> Iterator[tuple[str, int]]:
    """What `make run` prints until it waits, and its process group; ends it as Ctrl-C does."""
    command = [str(root / "tools/run.sh"), str(freehold), str(port), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if LAST_WORDS in line:
                    break
            yield "".join(lines), process.pid
        finally:
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 0


def test_a_first_secret_is_stored_and_read(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """`make run` shows both answers and the way on, and a second run finds the same vault."""
    with tour(root, freehold, port, tmp_path / "run") as (said, _):
        assert said.count('"version":1') == 2
        assert re.search(r'"data":\{"greeting": ?"hello"\}', said)
        assert f"FREEHOLD_ADDR=http://127.0.0.1:{port}" in said
        assert (tmp_path / "run/token").read_text().strip() not in said
    with tour(root, freehold, port, tmp_path / "run") as (said, _):
        assert said.count('"version":2') == 2


def test_the_way_on_works_as_printed(root: Path, freehold: Path, port: int, tmp_path: Path) -> None:
    """Every line that a newcomer is told to type is typed."""
    with tour(root, freehold, port, tmp_path / "run") as (said, _):
        *typed, again = [line.strip() for line in said.splitlines() if line.startswith("  ")]
        script = "\n".join(["set -e", *typed])
        for tool in ("bao", "python"):
            ours = Path(sys.executable).with_name(tool)
            script = script.replace(str(freehold.with_name(tool)), str(ours))
        done = subprocess.run(
            ["bash", "-c", script], cwd=root, check=False, capture_output=True, text=True,
            timeout=120, env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "s3cret" in done.stdout
        assert re.search(r"greeting\s+hello", done.stdout)
        for name in ("one", "two"):
            assert re.search(rf"^{name} +online +online", done.stdout, re.MULTILINE)
            assert re.search(rf"^{name} +(applied|wanted) ", done.stdout, re.MULTILINE)
        demo = Demo(port + 100, (tmp_path / "run/session").read_text().strip())
        demo.until(lambda: demo.presence("two") != "online")
        with subprocess.Popen(
            ["bash", "-c", f"exec {again}"], cwd=root, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(root)},
        ) as two:  # fmt: skip
            try:
                demo.until(lambda: demo.presence("two") == "online")
            finally:
                two.terminate()


def test_a_policy_reaches_both_and_a_stopped_agent_is_missed(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """Both are live in time and apply it; then one is late, then offline by the rule, an alert."""
    folder = tmp_path / "run"
    with tour(root, freehold, port, folder) as (said, _):
        took = re.search(
            r"(\d+) ms after they were started, (\d+) ms after the control plane", said
        )
        assert took is not None
        assert 0 < int(took[1]) < int(took[2])
        assert int(took[1]) <= BUSY * crowd() * LIVE_WITHIN, f"live after {took[1]} ms"
        demo = Demo(port + 100, (folder / "session").read_text().strip())
        rules = json.loads((folder / "no-deletes.json").read_text())
        made = demo.call("POST", "policies/no-deletes/versions", {"document": rules})
        demo.call("PUT", "policies/no-deletes/targets", {"targets": [{"all": True}]})
        demo.call("POST", "policies/no-deletes/rollouts", {"version": made["version"]})
        demo.until(lambda: demo.outcomes() == {"one": "applied", "two": "applied"})
        os.kill(int((folder / "two.pid").read_text()), signal.SIGTERM)
        stopped, seen = time.monotonic(), [demo.presence("two")]

        def offline() -> bool:
            if (now := demo.presence("two")) != seen[-1]:
                seen.append(now)
            return now == "offline"

        demo.until(offline)
        assert seen == ["online", "late", "offline"]
        assert time.monotonic() - stopped > OFFLINE_AFTER - BEAT
        assert demo.presence("one") == "online"
        demo.until(lambda: "agent_offline" in demo.alerts("two"))


def crowd() -> float:
    """How many want to run for each processor, as of the last minute: 1 to `CROWDED`."""
    return min(CROWDED, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


class Demo:
    """The API of a tour's control plane."""

    def __init__(self, port: int, session: str) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1/organizations/demo/"
        self._headers = {"Authorization": f"Bearer {session}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:
        """What it answers. Raises `HTTPError` for a refusal."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self._base + path, data, self._headers, method=method)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=PATIENCE) as reply:  # noqa: S310  # ours
            return json.loads(reply.read())

    def outcomes(self) -> dict[str, str]:
        """Agent → what it has made of the policy."""
        return {r["vault"]: r["outcome"] for r in self.call("GET", "policies/no-deletes/status")}

    def presence(self, vault: str) -> str:
        """As the list of the fleet shows it."""
        return str(self.call("GET", f"agents/{vault}")["presence"])

    def alerts(self, vault: str) -> set[str]:
        """Codes of its alerts."""
        return {row["code"] for row in self.call("GET", f"alerts?vault={vault}")}

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for it, looking often enough to see an agent that is late."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end
            time.sleep(0.2)


def test_what_does_not_start_says_why(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """Its own words end the tour, not a wait."""
    freehold.write_text("#!/bin/sh\necho no luck >&2\nexit 1\n")
    done = start(root, freehold, port, tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr == "the control plane did not start:\nno luck\n"


def test_an_agent_that_does_not_start_is_named(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """Of the two it is the second one here."""
    program = freehold.read_text().splitlines()[-1]
    no_two = 'case "$*" in "agent dev"*run/two*) echo no luck >&2; exit 1 ;; esac'
    freehold.write_text(f"#!/bin/sh\n{no_two}\n{program}\n")
    done = start(root, freehold, port, tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr == "agent two did not start:\nno luck\n"


def test_a_second_run_in_the_folder_leaves_the_first_alone(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """It says how to end that one and how to have one beside it, and both ways work."""
    folder = tmp_path / "run"
    with tour(root, freehold, port, folder) as (_, script):
        before = {file.name: file.read_bytes() for file in folder.glob("*.pid")}
        assert before.keys() == {"run.pid", "plane.pid", "one.pid", "two.pid"}
        done = start(root, freehold, port + 10, folder)
        assert done.returncode == 1
        assert f"{folder} is in use by another `make run`" in done.stderr
        assert f"make run PORT={port + 12} RUN=.run-{port + 12}\n" in done.stderr
        assert before == {file.name: file.read_bytes() for file in folder.glob("*.pid")}
        assert b"\0" not in (folder / "plane.log").read_bytes()
        ended = re.search(r"or kill (\d+)$", done.stderr, re.MULTILINE)
        assert ended is not None
        assert int(ended[1]) == script
        for name in ("one", "two", "plane"):  # it ends its own children, not who is in a file
            (folder / f"{name}.pid").unlink()
        os.kill(script, signal.SIGTERM)
        for name, pid in before.items():
            assert gone(int(pid)), name


def test_agents_that_outlive_their_run_keep_the_folder(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """After the script was killed, what it left running is told, with how to end that."""
    folder = tmp_path / "run"
    command = [str(root / "tools/run.sh"), str(freehold), str(port), str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert any(LAST_WORDS in line for line in process.stdout)
        process.kill()
    done = start(root, freehold, port, folder)
    assert done.returncode == 1
    told = re.search(r"^It has ended .* end those: (kill .*)$", done.stderr, re.MULTILINE)
    assert told is not None
    pids = [int((folder / f"{name}.pid").read_text()) for name in ("one", "two", "plane")]
    subprocess.run(["bash", "-c", told[1]], check=False, timeout=10)
    assert all(gone(pid) for pid in pids)


def test_ended_while_agents_enrol_it_leaves_nothing(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """Nobody holds the folder then, and no file names a process that is gone."""
    program = freehold.read_text().splitlines()[-1]
    slow = 'case "$*" in "agent enrol"*) echo waits; exec sleep 60 ;; esac'
    freehold.write_text(f"#!/bin/sh\n{slow}\n{program}\n")
    folder = tmp_path / "run"
    command = [str(root / "tools/run.sh"), str(freehold), str(port), str(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}) as process:
        logs = [folder / "one.log", folder / "two.log"]
        end = time.monotonic() + PATIENCE
        while not all(log.exists() and log.read_text() == "waits\n" for log in logs):
            assert time.monotonic() < end
            time.sleep(0.1)
        pids = [int((folder / f"{name}.pid").read_text()) for name in ("one", "two", "plane")]
        process.terminate()
        assert process.wait(30) == 0
    assert all(gone(pid) for pid in pids)
    assert not list(folder.glob("*.pid"))
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("missing", ["flock", "curl"])
def test_a_machine_without_what_it_needs_is_told(
    root: Path, freehold: Path, port: int, tmp_path: Path, missing: str
) -> None:
    """Before anything is made, and not as a folder that is in use."""
    (tmp_path / "bin").mkdir()
    for name in {"bash", "dirname", "flock", "curl"} - {missing}:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(
        [str(root / "tools/run.sh"), str(freehold), str(port), str(tmp_path / "run")],
        check=False, capture_output=True, text=True, timeout=60, env={"PATH": f"{tmp_path}/bin"},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"needs {missing}, which is not on this machine" in done.stderr
    assert not (tmp_path / "run").exists()


def gone(pid: int) -> bool:
    """Whether it ends in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("port", ["abc", "99999", "65435", "0", "08200", "-1", ""])
def test_what_is_no_port_for_four_is_told(
    root: Path, freehold: Path, port: str, tmp_path: Path
) -> None:
    """Before anything is made."""
    done = start(root, freehold, port, tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr == (
        f"PORT is a number from 1 to 65434, the first of the four that are used, not: {port}\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_told_with_another_one(
    root: Path, freehold: Path, port: int, tmp_path: Path
) -> None:
    """The tour never talks to somebody else's agent."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        done = start(root, freehold, port, tmp_path / "run")
    assert done.returncode == 1
    assert f"try: make run PORT={port + 2}" in done.stderr


def start(
    root: Path, freehold: Path, port: int | str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """A tour that is to end by itself."""
    return subprocess.run(
        [str(root / "tools/run.sh"), str(freehold), str(port), str(folder)], check=False,
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
