"""The servers of a run: started once, for all of its processes, and gone with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.database_servers import owned
from tests.support import shared_servers
from tests.support.shared_servers import shared_folder

WITHIN = 60.0  # seconds, on a busy machine
RUN = """
import subprocess, sys
from tests.unit.test_shared_servers import sleeping
from tests.support.shared_servers import shared_folder, shared_servers

with shared_servers(sleeping):
    folder = shared_folder("sleeper")
    print((folder / "pid").read_text(), folder.parent, flush=True)
    sys.stdin.read()
"""
CONFTEST = """
from tests import conftest
from tests.unit.test_shared_servers import sleeping

conftest._run_server = sleeping
pytest_configure = conftest.pytest_configure
"""
SUITE = """
import os
import pytest
from tests.support.shared_servers import shared_folder

@pytest.mark.parametrize("number", range(4))
def test_that_asks(number):
    pid = (shared_folder("sleeper") / "pid").read_text()
    with open(os.environ["FOUND"], "a") as out:
        out.write(f"{os.getpid()} {pid}\\n")
    if number == 1:
        os._exit(1)
"""


@contextmanager
def sleeping(kind: str, folder: Path) -> Iterator[None]:
    """A server that does nothing."""
    if kind == "broken":
        raise RuntimeError("no such file")
    with subprocess.Popen([*owned("daemon", "KILL"), "sleep", "600"]) as process:
        name = Path(f"/proc/{process.pid}/comm")
        until(lambda: name.read_text() == "sleep\n")  # before that nothing ends it with its parent
        (folder / "pid").write_text(str(process.pid))
        yield
        process.kill()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; who reaps it may take its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_it_is_started_once() -> None:
    """Whoever asks; it is gone after the block, and so is the folder."""
    outer = os.environ[shared_servers.FOLDER]
    with shared_servers.shared_servers(sleeping):
        folder = shared_folder("sleeper")
        pid = int((folder / "pid").read_text())
        assert shared_folder("sleeper") == folder
        assert int((folder / "pid").read_text()) == pid
        assert str(folder.parent) == os.environ[shared_servers.FOLDER] != outer
        assert not is_gone(pid)
    assert is_gone(pid)
    assert not folder.parent.exists()
    assert os.environ[shared_servers.FOLDER] == outer


def test_why_it_does_not_start_is_told_each_time() -> None:
    """The second who asks learns it as well, and does not wait for it."""
    with shared_servers.shared_servers(sleeping):
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"the broken server .* no such file"):
                shared_folder("broken")
        assert shared_folder("sleeper").exists()


def test_it_ends_with_a_run_that_is_killed(root: Path) -> None:
    """The server by a signal of the kernel, the folder by the shell that waits for the end."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().decode().split()
        assert not is_gone(int(pid))
        run.send_signal(signal.SIGKILL)
    until(lambda: is_gone(int(pid)))
    until(lambda: not Path(folder).exists())


@pytest.mark.parametrize("options", [["-n2"], ["-n0"], []])
def test_it_is_one_for_all_workers(root: Path, tmp_path: Path, options: list[str]) -> None:
    """With pytest-xdist, though a worker crashes, and without."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    suite = SUITE if options == ["-n2"] else SUITE.partition("    if number")[0]
    (tmp_path / "test_suite.py").write_text(suite)
    log = tmp_path / "found"
    plugins = ["-p", "no:cacheprovider", *(["-p", "xdist.plugin"] if options else [])]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *options, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": str(root), "FOUND": str(log)}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    lines = [line.split() for line in log.read_text().splitlines()]
    processes, servers = {line[0] for line in lines}, {line[1] for line in lines}
    assert len(lines) == 4, told.stdout
    assert len(servers) == 1
    assert is_gone(int(servers.pop()))
    assert (len(processes) > 1) is (options == ["-n2"])
    assert ("crashed" in told.stdout) is (options == ["-n2"])
