"""`python -m tests.acceptance.compat.differential --calls 100000 --seed 1 --out FOLDER`.

Each kind of difference is shortened and written as one JSON file, which `--replay` sends again.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.acceptance.agent import Form
from tests.acceptance.compat.differential.calls import Call
from tests.acceptance.compat.differential.compare import Difference
from tests.acceptance.compat.differential.generate import DOMAINS, random_round
from tests.acceptance.compat.differential.run import Fuzzer
from tests.acceptance.compat.servers import freehold_dev, openbao_dev

LENGTH: Final = 100  # calls of a round


@contextmanager
def fuzzer(workers: int) -> Iterator[Fuzzer]:
    """Both servers, for the length of the block."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("openbao", "freehold")]
        for folder in folders:
            folder.mkdir()
        form = Form(workers)
        with openbao_dev(folders[0], form) as openbao, freehold_dev(folders[1], form) as freehold:
            yield Fuzzer(openbao, freehold)


def write(out: Path, number: int, calls: list[Call], found: list[Difference]) -> Path:
    """A transcript: the calls, and what the last one differs in."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"difference-{number:03d}.json"
    document: dict[str, Any] = {
        "differences": [each.describe().splitlines() for each in found],
        "calls": calls,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    return path


def main() -> int:
    """1 when there was a difference that is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.compat.differential")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--length", type=int, default=LENGTH, help="calls of a round")
    parser.add_argument("--workers", type=int, default=1, help="of Freehold")
    parser.add_argument("--domain", action="append", default=[], choices=DOMAINS)
    parser.add_argument("--out", type=Path, default=Path(".fuzz"), help="folder of transcripts")
    parser.add_argument("--shorten", type=int, default=20, help="write so many transcripts")
    parser.add_argument("--replay", type=Path, help="a transcript to send again")
    given = parser.parse_args()
    with fuzzer(given.workers) as both:
        if given.replay:
            calls = msgspec.convert(
                msgspec.json.decode(given.replay.read_bytes())["calls"], list[Call]
            )
            found = both.play(calls).differences
            sys.stdout.write("".join(f"{each.describe()}\n" for each in found) or "no difference\n")
            return bool(found)
        return _compare(both, given)


def _compare(both: Fuzzer, given: argparse.Namespace) -> int:
    compared, seed = 0, given.seed
    met: dict[tuple[str, ...], int] = {}
    started = time.monotonic()
    stop: list[int] = []  # SIGTERM ends it with its figures, after the round
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    while compared < given.calls and not stop:
        calls = random_round(seed, given.length, tuple(given.domain))
        outcome = both.play(calls)
        compared += outcome.compared
        for found in outcome.differences:
            met[found.kind] = met.get(found.kind, 0) + 1
            if met[found.kind] > 1:
                continue
            sys.stdout.write(f"seed {seed}: {found.describe()}\n")
            if len(met) <= given.shorten:
                shorter = both.shortened(calls[: outcome.compared], found)
                path = write(given.out, len(met), shorter, both.play(shorter).differences)
                sys.stdout.write(f"  {len(shorter)} calls: {path}\n")
            sys.stdout.flush()
        seed += 1
    sys.stdout.write(
        f"{compared} calls in {time.monotonic() - started:.0f} s, "
        f"rounds {given.seed} to {seed - 1}: "
        f"{len(met)} kinds of difference that are not accepted\n"
    )
    for each in both.unused():
        sys.stdout.write(f"not met: {each.reason}\n")
    return bool(met)


if __name__ == "__main__":
    sys.exit(main())
