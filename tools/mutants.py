"""Plant the mutants of `mutants.toml` one by one and report those that no test notices.

A mutant is one careless change: a comparison turned round, a missing check, a reply before the
write. `python -m tools.mutants` (or `make mutants`) runs all of them, each in a private copy of the
tree, with the tests of its group. One that makes a test fail, or hangs, is killed.

    python -m tools.mutants --check                say which entries no longer fit the tree
    python -m tools.mutants --only audit           those whose id begins so
    python -m tools.mutants --only audit --also tests/acceptance/faults

Exit status: 0 for a complete run (survivors are a finding, not a failure), 1 for a stale entry, 2
when the tests fail without any mutant, so that they judge nothing.
"""

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

LIST: Final = "tools/mutants.toml"
JOBS: Final = 2
TIMEOUT_SECONDS: Final = 60.0
"""Added to twice what the same tests take without a mutant."""
_LEFT_OUT: Final = (".git", ".venv*", ".bench", ".run*", ".*_cache", ".hypothesis", "node_modules")
_PYTEST: Final = ("-q", "-x", "-p", "no:cacheprovider", "--tb=short", "--hypothesis-seed=0")
"""The same examples in each run: no mutant is killed by luck."""


class Mutant(NamedTuple):
    """One entry: in `path`, the text `old`, which occurs once, becomes `new`."""

    id: str
    area: str
    path: str
    old: str
    new: str
    harm: str
    """Whom the change would hurt, and how."""
    tests: tuple[str, ...]
    """Paths below the root, for pytest."""

    def planted(self, source: str) -> str:
        """The source with the mutant in it. Raises `ValueError` for a stale entry."""
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"the text is found {found} times")
        return source.replace(self.old, self.new)

    def staleness(self, root: Path) -> str:
        """Why the entry does not fit the tree; empty when it does."""
        try:
            ast.parse(self.planted((root / self.path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return "there is no such file"
        except (SyntaxError, ValueError) as error:
            return str(error)
        return "" if self.tests else "its group names no test that exists"


def read_list(root: Path) -> list[Mutant]:
    """The entries. `tests` names groups of the table `[tests]`; by default the area's own."""
    read = tomllib.loads((root / LIST).read_text(encoding="utf-8"))
    groups = {name: _paths(root, patterns) for name, patterns in read["tests"].items()}
    mutants = []
    for entry in read["mutant"]:
        named = entry.pop("tests", [entry["area"]])
        mutants.append(
            Mutant(**entry, tests=tuple(path for name in named for path in groups[name]))
        )
    return mutants


def _paths(root: Path, patterns: Sequence[str]) -> list[str]:
    """What the patterns match, in their order; nothing at all where one matches nothing."""
    found = [sorted(root.glob(pattern)) for pattern in patterns]
    return [str(path.relative_to(root)) for some in found for path in some] if all(found) else []


class Trees:
    """Private copies of the tree, one for each run that goes on at a time."""

    def __init__(self, root: Path, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy = folder / str(number)
            shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
            self._free.put(copy)

    def run(self, tests: Sequence[str], timeout: float | None, mutant: Mutant | None) -> "Run":
        """The tests in one of the copies, with the mutant planted."""
        copy = self._free.get()
        try:
            if mutant is None:
                return _run(copy, tests, timeout)
            path, before = copy / mutant.path, (copy / mutant.path).read_text(encoding="utf-8")
            _write(path, mutant.planted(before))
            try:
                return _run(copy, tests, timeout)
            finally:
                _write(path, before)
        finally:
            self._free.put(copy)


class Run(NamedTuple):
    """What came of the tests."""

    passed: bool
    seconds: float
    output: str


def _write(path: Path, source: str) -> None:
    path.write_text(source, encoding="utf-8")
    # Python knows compiled code by size and second of its source: both may be the same.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _run(copy: Path, tests: Sequence[str], timeout: float | None) -> Run:
    shutil.rmtree(copy / ".hypothesis", ignore_errors=True)  # no examples of another mutant
    command = [sys.executable, "-m", "pytest", *_PYTEST, f"--basetemp={copy}/.pytest", *tests]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=copy,
        # The copy before whatever is installed; and the same order of sets in each run.
        env=os.environ | {"PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the servers that its tests have started
        output, _ = process.communicate()
    return Run(process.returncode == 0, time.monotonic() - began, output)


def find_survivors(trees: Trees, mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Run all; print those that survive. Raises `SystemExit` (2): tests fail without one."""
    survivors: list[Mutant] = []
    groups = sorted({mutant.tests for mutant in mutants})
    with ThreadPoolExecutor(jobs) as pool:
        try:
            runs = pool.map(lambda tests: trees.run(tests, None, None), groups)
            plain = dict(zip(groups, runs, strict=True))
            for tests, run in plain.items():
                if not run.passed:
                    print(run.output, f"these fail without a mutant: {' '.join(tests)}", sep="\n")
                    raise SystemExit(2)
            bound = {tests: TIMEOUT_SECONDS + 2 * run.seconds for tests, run in plain.items()}
            runs = pool.map(lambda one: trees.run(one.tests, bound[one.tests], one), mutants)
            for mutant, run in zip(mutants, runs, strict=True):
                if run.passed:
                    survivors.append(mutant)
                    print(f"survived {mutant.id}: {mutant.path}: {mutant.harm}", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)  # when it is interrupted
    return survivors


def main(root: Path, arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--check", action="store_true", help="only look for stale entries")
    parser.add_argument("--only", nargs="+", default=[""], metavar="ID", help="how the ids begin")
    parser.add_argument("--also", nargs="+", default=[], metavar="TEST", help="more tests to judge")
    parser.add_argument("--jobs", type=int, default=JOBS)
    asked = parser.parse_args(arguments)
    chosen = [one for one in read_list(root) if one.id.startswith(tuple(asked.only))]
    stale = [f"stale {one.id}: {why}" for one in chosen if (why := one.staleness(root))]
    print(*stale, sep="\n", end="\n" if stale else "")
    if stale or asked.check:
        return bool(stale)
    chosen = [mutant._replace(tests=(*mutant.tests, *asked.also)) for mutant in chosen]
    with tempfile.TemporaryDirectory(prefix="freehold-mutants-") as folder:
        survivors = find_survivors(Trees(root, Path(folder), asked.jobs), chosen, asked.jobs)
    alive = Counter(mutant.area for mutant in survivors)
    for area, planted in Counter(mutant.area for mutant in chosen).items():
        print(f"{area}: killed {planted - alive[area]} of {planted}")
    print(f"killed {len(chosen) - len(survivors)} of {len(chosen)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1], sys.argv[1:]))
