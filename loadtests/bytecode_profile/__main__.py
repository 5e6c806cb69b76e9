"""The command: `make steps` (OP=write, WORKERS=2)."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from loadtests import h2load
from loadtests.bench.measure import run
from loadtests.bytecode_profile.counted import sitecustomize
from loadtests.load import Load, data_path
from loadtests.servers import Freehold, running_servers, scratch_folder

WARM: Final = 2  # seconds of load before it is counted, and after
TOLD_WITHIN: Final = 30.0  # seconds
NO_MONITORING: Final = (
    "Steps are counted by sys.monitoring, which Python has since 3.12: remove .venv and .bench, and"
    " run `make steps PYTHON=python3.13`."
)


# The counts of one process as a table.


REQUEST: Final = "EdgeApp.__call__"  # starts once for each request that is answered


class FunctionCount(NamedTuple):
    """What one function did, in all that was counted."""

    name: str
    steps: int
    starts: int
    calls: int


def count_requests(functions: Iterable[FunctionCount]) -> int:
    """How many were answered meanwhile."""
    return sum(each.starts for each in functions if each.name.endswith(f" {REQUEST}"))


def render_table(functions: Sequence[FunctionCount], most: int) -> str:
    """A line for all, then one for each of the `most` that have most steps, for each request.

    Raises `ValueError` where no request was answered.
    """
    answered = count_requests(functions)
    if not answered:
        raise ValueError("no request was answered while it was counted")
    steps = sum(each.steps for each in functions) / answered
    starts = sum(each.starts for each in functions) / answered
    calls = sum(each.calls for each in functions) / answered
    first = (
        f"{answered} requests, each of {steps:.0f} steps, {starts:.0f} functions, {calls:.0f} calls"
    )
    largest = sorted(functions, key=lambda each: -each.steps)[:most]
    return "\n".join([
        first,
        f"{'steps':>8} {'starts':>7} {'calls':>7}  function",
        *(
            f"{each.steps / answered:8.1f} {each.starts / answered:7.2f}"
            f" {each.calls / answered:7.2f}  {each.name}"
            for each in largest
        ),
    ])  # fmt: skip


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make steps", description=__doc__)
    parser.add_argument("--operation", choices=("read", "write", "mixed"), default="read")
    parser.add_argument("--http", type=int, choices=(1, 2), default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=6, help="that are counted")
    parser.add_argument("--most", type=int, default=60, help="functions to show")
    chosen = parser.parse_args()
    if not hasattr(sys, "monitoring"):
        print(NO_MONITORING)
        return 2
    connections, streams = (32, 1) if chosen.http == 1 else (8, 8)
    load = Load(
        operation=chosen.operation, http=chosen.http, connections=connections, streams=streams
    )
    with scratch_folder() as folder:
        found = _counted(folder, load, chosen.workers, chosen.seconds)
    for process in found:
        print(render_table(process, chosen.most), end="\n\n")
    if not found:
        print(f"no process that answered has told its counts. {NO_MONITORING}")
    return 0 if found else 1


def _counted(folder: Path, load: Load, workers: int, seconds: int) -> list[list[FunctionCount]]:
    """The functions of each process that answered requests, the busiest first.

    Raises `VoidError` for a run with an answer that is not 2xx or is not on record.
    """
    with _counting(folder / "counts") as counts:
        server = Freehold(_made(folder / "vault"), durability="write", workers=workers).set_up()
        with running_servers(server):
            names = [data_path(load.folder, number) for number in range(load.names)]
            h2load.seed(server, names, load.value_bytes)
            with ThreadPoolExecutor(1) as other:
                loading = other.submit(run, server, load, seconds + 2 * WARM, [])
                time.sleep(WARM)
                (counts / sitecustomize.ON).touch()
                time.sleep(seconds)
                (counts / sitecustomize.ON).unlink()
            loading.result()  # raises for a run that does not count
            end = time.monotonic() + TOLD_WITHIN
            while not (found := _answering(counts)) and time.monotonic() < end:
                time.sleep(sitecustomize.LOOK_EVERY)
            time.sleep(WARM)  # the others
            return _answering(counts) or found


def _answering(counts: Path) -> list[list[FunctionCount]]:
    found = [
        [FunctionCount(*each) for each in json.loads(told.read_text())]
        for told in counts.glob("*.json")
    ]
    return sorted(filter(count_requests, found), key=count_requests, reverse=True)


@contextmanager
def _counting(counts: Path) -> Iterator[Path]:
    """Processes that are started within the block count."""
    before = dict(os.environ)
    hook = str(Path(sitecustomize.__file__).parent)
    path = os.pathsep.join([hook, *filter(None, [before.get("PYTHONPATH")])])
    os.environ.update(PYTHONPATH=path, FREEHOLD_STEPS=str(_made(counts)))
    try:
        yield counts
    finally:
        os.environ.clear()
        os.environ.update(before)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
