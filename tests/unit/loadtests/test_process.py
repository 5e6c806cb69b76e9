"""Figures of processes are the kernel's."""

import os
import subprocess
import sys

from loadtests import process


def test_a_family_has_its_children() -> None:
    """Each counts, and the whole is more than the parent."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(process.process_tree(os.getpid()))
        assert process.resident(os.getpid()) > process.resident(child.pid) > 0
        child.communicate(b"\n")


def test_work_shows_as_cpu_time() -> None:
    """Of this process and of the machine, which has at least as much."""
    mine, all_of_it = process.cpu_seconds(os.getpid()), process.busy_seconds()
    while process.cpu_seconds(os.getpid()) < mine + 0.05:
        sum(range(10_000))
    assert process.busy_seconds() - all_of_it >= 0.03
