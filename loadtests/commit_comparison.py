"""Two commits of Freehold in turns: whether a change made anything quicker.

The machine has hours in which everything takes a third longer, and a difference of a tenth between
two runs is none. So both stand side by side, each has its turn in each round while the other one
stands still, and what counts is the median of the rounds' ratios. Who comes first changes with each
round. Of the same code beside itself it told 0.975 and 0.981 for writes and 1.025 for reads: a
difference of some 3 % is none.

`make turns AGAINST=COMMIT` (OP=write, WORKERS=1, TURNS="--http 2 --rounds 24").
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from loadtests import h2load
from loadtests.bench import plan
from loadtests.bench.measure import compare
from loadtests.bench.results import Comparison
from loadtests.load import Load, data_path
from loadtests.servers import Freehold, Server, freehold_command, running_servers, scratch_folder

OVER_HTTP2 = ("read", "write")
OPERATIONS = (*OVER_HTTP2, "mixed", "batch", "metadata", "list", "lookup")
BEFORE, NOW = "before", "now"


# Another commit of this repository as a command that runs it.


ENTRY: Final = """
import sys
from ui.cli.main import main
sys.argv[0] = 'freehold'
sys.exit(main())
"""


@contextmanager
def command_of_commit(commit: str, folder: Path, python: Path) -> Iterator[Path]:
    """A command in `folder` that is `freehold` of that commit, run by this environment's python.

    What the environment holds is today's. Raises `subprocess.CalledProcessError` where git does
    not make the tree.
    """
    tree = folder / "tree"
    _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        command = folder / "freehold"
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH="{tree}" exec "{python.absolute()}" -P -c "{ENTRY}" "$@"\n'
        )
        command.chmod(0o755)
        yield command
    finally:
        _git("worktree", "remove", "--force", str(tree))


def is_commit(name: str) -> bool:
    """Whether this repository has a commit of that name."""
    command = ["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # PATH's git
    return done.returncode == 0


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, stdout=sys.stderr)  # noqa: S603, S607  # PATH's


# Rounds of two servers, held against each other round by round.


class RoundRatios(NamedTuple):
    """The second figure of a round as a multiple of the first: the middle of all rounds.

    Half of the rounds lie between `low` and `high`.
    """

    median: float
    low: float
    high: float


def compare_rounds(before: Sequence[float], after: Sequence[float]) -> RoundRatios:
    """Raises `ValueError` for fewer than two rounds, or where one is missing."""
    ratios = [second / first for first, second in zip(before, after, strict=True)]
    if len(ratios) < 2:  # noqa: PLR2004
        raise ValueError("one round says nothing")
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return RoundRatios(median, low, high)


def main() -> int:
    """Returns the exit code: 1 where a run was void."""
    parser = argparse.ArgumentParser(prog="make turns", description=__doc__)
    parser.add_argument("against", help="the commit that this tree is held against")
    parser.add_argument("--operation", choices=OPERATIONS, default="read")
    parser.add_argument("--http", type=int, choices=(1, 2), default=1)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--names", type=int, default=1_000, help="of secrets that are stored")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--durability", choices=("write", "fsync"), default="write")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=3, help="of each turn")
    chosen = parser.parse_args()
    if chosen.http == 2 and chosen.operation not in OVER_HTTP2:  # noqa: PLR2004
        parser.error(f"over HTTP/2 there are {' and '.join(OVER_HTTP2)}")
    if not is_commit(chosen.against):
        parser.error(f"{chosen.against} is no commit of this repository")
    python = Path(freehold_command()).parent / "python"
    with scratch_folder() as folder, command_of_commit(chosen.against, folder, python) as command:
        return _take_turns(folder, str(command), chosen)


def _take_turns(folder: Path, command: str, chosen: argparse.Namespace) -> int:
    servers = [
        _server(folder, name, program, chosen)
        for name, program in ((BEFORE, command), (NOW, freehold_command()))
    ]
    with running_servers(*servers):
        for server in servers:
            server.set_up()
            names = [data_path(plan.SMALL, number) for number in range(chosen.names)]
            h2load.seed(server, names, 100)
        row = compare(
            Comparison(chosen.names, _load(chosen)),
            servers,
            servers,
            seconds=chosen.seconds,
            rounds=chosen.rounds,
            mirrored=True,
        )
    print("\n".join(_told(row, servers)))
    return 1 if row.void else 0


def _server(folder: Path, name: str, program: str, chosen: argparse.Namespace) -> Freehold:
    own = folder / name
    own.mkdir()
    return Freehold(
        own, name=name, durability=chosen.durability, workers=chosen.workers, program=program
    )


def _load(chosen: argparse.Namespace) -> Load:
    streams = 1
    if chosen.http == 2:  # noqa: PLR2004  # as many at once, as `make bench` has them
        chosen.connections, streams = max(1, chosen.connections // 4), 8
    kind = plan.write_load if chosen.operation == "write" else plan.read_load
    load = kind(chosen.http, chosen.connections, streams)
    if chosen.operation == "write":
        return load
    return replace(load, operation=chosen.operation, names=chosen.names)


def _told(row: Comparison, servers: Sequence[Server]) -> list[str]:
    if row.void or row.skipped:
        return [row.skipped, *(f"{name} is void: {why}" for name, why in row.void.items())]
    lines = [f"{row.label}, {row.load.client}, {row.stored:,} stored"]
    lines += [
        f"  {one.name:8}{row.rate(one.name):9,.0f}/s  CPU {row.cpu(one.name):6.1f} us"
        f"  p99 {row.p99(one.name):6.1f} ms"
        for one in servers
    ]
    for what in ("rate", "cpu_us", "p99_ms"):
        before, now = ([getattr(s, what) for s in row.rounds[n]] for n in (BEFORE, NOW))
        found = compare_rounds(before, now)
        lines.append(
            f"  {what}, now beside before: {found.median:.3f}"
            f" (half of {len(now)} rounds between {found.low:.3f} and {found.high:.3f})"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
