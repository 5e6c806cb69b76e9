"""vault.workers.zygote: forks what it was made for, and nothing outlives what is above it.

Each test runs in an interpreter of its own: only there is it sure that there is one thread.
"""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

HEAD = """
import os, signal, socket, sys, time
from vault.workers.zygote import Zygote

def main(message, fds):
    os.write(fds[0], b"%b %d %d" % (message, os.getppid(), os.getpid()))
    os.read(fds[1], 1)

says, told = os.pipe()
hold, keep = os.pipe()
zygote = Zygote.fork(main)
"""


def run(script: str) -> str:
    """What a script on top of `HEAD` prints."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_alive(pid: int) -> bool:
    """Whether it runs, after some time to end."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state in "ZX":
            return False
        time.sleep(0.02)
    return True


def test_children_get_message_and_descriptors() -> None:
    """They are the zygote's children, not ours, and run what it was forked for."""
    said = run(
        """
        pids = []
        for number in (b"1", b"2", b"3"):
            pids.append(zygote.spawn(number, [told, hold]))
            assert os.read(says, 100) == b"%b %d %d" % (number, zygote.pid, pids[-1])
        assert len({*pids, zygote.pid, os.getpid()}) == 5
        print("good")
        """
    )
    assert said == "good\n"


def test_those_who_ask_together_get_each_their_own() -> None:
    """A seat that held another one's process would kill it in place of its own."""
    said = run(
        """
        from concurrent.futures import ThreadPoolExecutor

        def spawn(number):
            says, told = os.pipe()
            pid = zygote.spawn(b"%d" % number, [told, hold])
            said = os.read(says, 100)
            os.close(says), os.close(told)
            os.kill(pid, signal.SIGKILL)
            return said == b"%d %d %d" % (number, zygote.pid, pid)

        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(8) as threads:
            print(all(threads.map(spawn, range(200))))
        """
    )
    assert said == "True\n"


def test_nobody_waits_for_ever() -> None:
    """Whoever has given up is not answered in the next one's place."""
    said = run(
        """
        from vault.workers import zygote as module

        module.FORK_SECONDS = 0.1
        stuck = Zygote.fork(main)
        os.kill(stuck.pid, signal.SIGSTOP)
        for number in (b"1", b"2"):
            try:
                stuck.spawn(number, [told, hold])
            except TimeoutError:
                print("late")
        module.FORK_SECONDS = 60
        os.kill(stuck.pid, signal.SIGCONT)
        heard, third = os.pipe()
        pid = stuck.spawn(b"3", [third, hold])
        print(os.read(heard, 100) == b"3 %d %d" % (stuck.pid, pid))
        """
    )
    assert said == "late\nlate\nTrue\n"


def test_close_ends_it() -> None:
    """And with it its children."""
    said = run(
        """
        pid = zygote.spawn(b"x", [told, hold])
        os.read(says, 100)
        zygote.close()
        print(pid)
        """
    )
    assert not is_alive(int(said))


def test_nothing_outlives_the_leader() -> None:
    """Killed without a word, it takes zygote and workers along, whatever they do."""
    said = run(
        """
        pid = zygote.spawn(b"x", [told, hold])
        os.read(says, 100)
        print(pid, zygote.pid, flush=True)
        if os.fork():
            os._exit(0)
        """
    )
    assert [is_alive(int(pid)) for pid in said.split()] == [False, False]


def test_signals_are_the_leaders() -> None:
    """A worker does not end of what a terminal or a service manager sends to all."""
    said = run(
        """
        pid = zygote.spawn(b"x", [told, hold])
        os.read(says, 100)
        for each in (pid, zygote.pid):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(each, number)
        time.sleep(0.1)
        os.kill(pid, 0)
        assert zygote.spawn(b"y", [told, hold]) != pid
        print("good")
        """
    )
    assert said == "good\n"
