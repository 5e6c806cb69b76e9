"""Where the time of a run of the suite goes: each process writes records.

A worker of pytest-xdist runs the tests of one file after another. So the processor time of a file
is what the worker and its descendants have used between its first test and its last. Servers of the
run belong to the process that runs pytest, and are counted there.
"""

import json
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import pytest

from loadtests.process import busy_seconds, cpu_seconds

RECORDS: Final = Path(__file__).parents[2] / ".test-times"
"""A file of lines of JSON for each process; those of the last run."""
PHASES: Final = ("setup", "call", "teardown")
_FILE: Final = "FREEHOLD_TEST_TIMES"  # in the environment of a worker's descendants: its records
_SAMPLE: Final = 1.0  # seconds


def record(**what: object) -> None:
    """Append one line to the records of this process; nothing where none are kept."""
    if file := os.environ.get(_FILE):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(what) + "\n")


@contextmanager
def timed_start(kind: str) -> Iterator[None]:
    """Record how long the block takes to start a server or an agent of this kind."""
    began = time.monotonic()
    yield
    record(start=kind, seconds=time.monotonic() - began)


class WorkerTimes:
    """The plug-in of a process that runs tests."""

    def __init__(self, name: str) -> None:
        """Keep records under this name."""
        self._name = name
        self._file = ""
        self._began = self._cpu = 0.0
        self._tests = 0
        self._phases = dict.fromkeys(PHASES, 0.0)
        os.environ[_FILE] = str(RECORDS / f"{name}.jsonl")

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Record what the collection takes, and what was imported before it."""
        before, began = time.process_time(), time.monotonic()
        result = yield
        record(
            imports=before,
            collection={"cpu": time.process_time() - before, "wall": time.monotonic() - began},
        )
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Record a file once its last test is over."""
        if (file := file_of(item.nodeid)) != self._file:
            self._file, self._tests = file, 0
            self._phases = dict.fromkeys(PHASES, 0.0)
            self._began, self._cpu = time.time(), cpu_seconds(os.getpid())
        result = yield
        self._tests += 1
        if nextitem is None or file_of(nextitem.nodeid) != file:
            record(
                file=file,
                tests=self._tests,
                began=self._began,
                wall=time.time() - self._began,
                cpu=cpu_seconds(os.getpid()) - self._cpu,
                **self._phases,
            )
            self._file = ""
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the phases."""
        self._phases[str(report.when)] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Record the most memory that this process has had."""
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = int(status.partition("\nVmHWM:")[2].split()[0]) << 10
        record(worker=self._name, peak=peak, cpu=cpu_seconds(os.getpid()))


class RunTimes:
    """The plug-in of the process that runs pytest: how busy the cores were, and the last lines."""

    def __init__(self) -> None:
        """Begin a new run: the records of the one before go."""
        RECORDS.mkdir(exist_ok=True)
        for file in RECORDS.iterdir():
            file.unlink()
        self._began = float(os.environ.get("FREEHOLD_TEST_BEGAN") or time.time())
        self._pytest_began = time.time()
        self._samples: list[tuple[float, float]] = []
        self._ended = Event()
        self._sampler = Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE):
            self._samples.append((time.time(), busy_seconds()))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write the run's own record; print its time and the dearest files."""
        self._ended.set()
        now, cpu = time.time(), cpu_seconds(os.getpid())
        run = {
            "began": self._began,
            "pytest_began": self._pytest_began,
            "wall": now - self._began,
            "cpu": cpu,
            "cores": os.cpu_count(),
            "busy": self._samples,
        }
        (RECORDS / "run.json").write_text(json.dumps(run), encoding="utf-8")
        dearest = sorted(read_files(RECORDS), key=lambda file: -file["cpu"])[:5]
        lint = self._pytest_began - self._began
        terminalreporter.write_sep(
            "-",
            f"{now - self._began:.0f} s ({lint:.0f} before pytest), {cpu:.0f} s of CPU in pytest",
        )
        for file in dearest:
            line = f"{file['cpu']:6.1f} s of CPU {file['wall']:6.1f} s  {file['file']}"
            terminalreporter.write_line(line)


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.partition("::")[0]


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """All records of all processes."""
    return [
        json.loads(line) | {"process": file.stem}
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def read_files(folder: Path) -> list[dict[str, Any]]:
    """The records of files."""
    return [line for line in read_lines(folder) if "file" in line]
