"""The gate strikes the call that it was told to strike, of a real process, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.durability.faults import syscall_gate as gates
from loadtests.durability.faults.syscall_gate import Fault, open_gate

PROGRAM = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
for number in range(3):
    try:
        print(os.pwrite(fd, b"abcd", 4 * number), end=" ")
    except OSError as error:
        print(error.errno, end=" ")
    sys.stdout.flush()
os.fdatasync(fd)
print("synced")
"""
EIO, ENOSPC = 5, 28


@pytest.fixture(autouse=True)
def _capable() -> None:
    if why_not := gates.why_not():
        pytest.skip(why_not)


def strike(folder: Path, fault: Fault) -> tuple[str, int, bytes]:
    """What the program printed, its exit code, and its file; the file is opened by call 1."""
    file = folder / "file"
    with open_gate(folder) as opened:
        opened.arm(fault)
        command = opened.command([sys.executable, "-c", PROGRAM, str(file)])
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert not told.stderr
    return told.stdout.strip(), told.returncode, file.read_bytes()


@pytest.mark.parametrize(
    ("fault", "printed"),
    [
        (Fault("EIO", 3), f"4 {EIO} 4 synced"),
        (Fault("ENOSPC", 3), f"4 {ENOSPC} 4 synced"),
        (Fault("short", 2), "4 2 4 synced"),
        (Fault("EIO", 99), "4 4 4 synced"),
        (Fault("EIO", 2, begins=lambda call: call.name == "pwrite"), f"4 {EIO} 4 synced"),
    ],
)
def test_the_call_at_that_position_meets_the_fault(
    tmp_path: Path, fault: Fault, printed: str
) -> None:
    """The others pass, and the file holds what was answered."""
    stdout, code, content = strike(tmp_path, fault)
    assert (stdout, code) == (printed, 0)
    missed = {str(EIO): b"\0\0\0\0", str(ENOSPC): b"\0\0\0\0", "2": b"ab\0\0"}
    assert content == b"abcd" + missed.get(printed.split()[1], b"abcd") + b"abcd"
    assert (fault.struck is None) == (fault.at == 99)


def test_an_error_that_stays_meets_all_that_follows(tmp_path: Path) -> None:
    """The sync as well, which the program does not catch."""
    with open_gate(tmp_path) as opened:
        opened.arm(Fault("EIO stays", 3))
        command = opened.command([sys.executable, "-c", PROGRAM, str(tmp_path / "file")])
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert told.stdout.strip() == f"4 {EIO} {EIO}"
    assert told.stderr.endswith("OSError: [Errno 5] Input/output error\n")


@pytest.mark.parametrize(("kind", "content"), [("kill", b"abcd"), ("tear", b"abcdab")])
def test_a_death_comes_in_place_of_the_call_or_in_its_middle(
    tmp_path: Path, kind: gates.Kind, content: bytes
) -> None:
    """Nothing after it happens."""
    at = {"kill": 3, "tear": 2}[kind]
    assert strike(tmp_path, Fault(kind, at)) == ("4", -9, content)


FAMILY = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(fd, b"abcd", 0)
if child := os.fork():
    print(os.waitpid(child, 0)[1], end=" ")
os.pwrite(fd, b"efgh", 4 if child else 8)
os.pwrite(fd, b"ijkl", 4 if child else 12)
print("written")
"""


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        (Fault("worker killed", 1), b"abcdijkl"),
        (Fault("worker killed", 2), b"abcdijklefgh"),
        (Fault("worker torn", 2), b"abcdijklefghij"),
    ],
)
def test_the_death_of_a_worker_is_not_the_agents(
    tmp_path: Path, fault: Fault, content: bytes
) -> None:
    """Only its calls count, nothing of it happens after the struck one, and the first goes on."""
    file = tmp_path / "file"
    with open_gate(tmp_path) as opened:
        opened.arm(fault)
        command = opened.command([sys.executable, "-c", FAMILY, str(file)])
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert told.stdout == "9 written\n"
    assert file.read_bytes() == content
    assert fault.struck is not None
    assert fault.struck.worker


def test_a_delayed_call_waits_until_it_is_released(tmp_path: Path) -> None:
    """Until then the process is where it was; afterwards the call is done as if nothing was."""
    with open_gate(tmp_path) as opened:
        opened.arm(Fault("delay", 3))
        command = opened.command([sys.executable, "-c", PROGRAM, str(tmp_path / "file")])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert opened.wait_held(30)
            assert (tmp_path / "file").read_bytes() == b"abcd"
            opened.release()
            stdout, _ = process.communicate(timeout=30)
    assert stdout.strip() == "4 4 4 synced"
