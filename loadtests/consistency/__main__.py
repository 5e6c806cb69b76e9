"""The command: `python -m loadtests.consistency --backend postgresql --operations 100000`.

Each part has a cluster of its own. It prints a table and writes consistency.json into a folder.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from loadtests.agent_process import own_folder
from loadtests.consistency import scenarios
from loadtests.consistency.checker import VIOLATIONS
from loadtests.consistency.cluster import SQLITE, Cluster, running_cluster
from loadtests.consistency.scenarios import Result, summarize
from loadtests.database_servers import (
    MYSQL,
    POSTGRESQL,
    DatabaseServer,
    run_database_server,
)
from loadtests.markdown import table

DELAY: Final = 2.0  # seconds for a query of the change feed


def main() -> int:
    """Run what was chosen; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make consistency", description=__doc__)
    parser.add_argument("--backend", choices=(POSTGRESQL, MYSQL, SQLITE), default=POSTGRESQL)
    parser.add_argument("--agents", type=int, default=3, help="or workers, on SQLite")
    parser.add_argument("--operations", type=int, default=0, help="reads, writes and lists")
    parser.add_argument("--delayed", type=int, default=0, help="of these, with a feed that is slow")
    parser.add_argument("--share", type=float, default=1.0, help="of the feed's queries are slow")
    parser.add_argument("--kill", type=int, default=0, help="times: the holder of the head")
    parser.add_argument("--stop", type=int, default=0, help="times: the same, by SIGSTOP")
    parser.add_argument("--cut", type=int, default=0, help="times: an agent off its database")
    parser.add_argument("--restart", type=int, default=0, help="times: the database")
    parser.add_argument("--tokens", type=int, default=0, help="tries of revoked tokens")
    parser.add_argument("--blind", action="store_true", help="do not look, to see stale reads")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--out", type=Path, default=Path(".bench/quick"), help="where to write")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    on_server = chosen.backend != SQLITE
    results = []
    with run_database_server(chosen.backend) if on_server else nullcontext() as server:
        for run in _parts(chosen, server):
            with own_folder() as folder, running_cluster(folder, server, chosen.agents) as cluster:
                if chosen.blind:
                    cluster.blind()
                results.append(run(cluster))
                cluster.stop()
                results[-1].findings += cluster.verify_logs()
            print(*_lines(results[-1]), sep="\n", flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    told = [vars(result) for result in results]
    (chosen.out / f"consistency-{chosen.backend}.json").write_text(json.dumps(told, indent=1))
    print(format_table(results))
    return int(not results or any(result.violations or result.findings for result in results))


def _parts(
    chosen: argparse.Namespace, server: DatabaseServer | None
) -> Iterator[Callable[[Cluster], Result]]:
    seed = chosen.seed
    if chosen.operations:
        yield lambda cluster: scenarios.run_operations(cluster, chosen.operations, seed=seed)
    if chosen.delayed:
        yield lambda cluster: scenarios.run_operations(
            cluster, chosen.delayed, delay=DELAY, share=chosen.share, seed=seed
        )
    if chosen.kill:
        yield lambda cluster: scenarios.kill_holders(cluster, chosen.kill, seed)
    for _ in range(chosen.stop):
        yield lambda cluster: scenarios.stop_holder(cluster, seed)
    for _ in range(chosen.cut if server is not None else 0):
        yield lambda cluster: scenarios.cut_off(cluster, seed)
    if server is not None:
        for _ in range(chosen.restart):
            yield lambda cluster: scenarios.restart_database(cluster, server, seed)
    if chosen.tokens:
        yield lambda cluster: scenarios.revoke_tokens(cluster, chosen.tokens)


def _lines(result: Result) -> Iterator[str]:
    counts = ", ".join(f"{state} {count}" for state, count in sorted(result.counts.items()))
    yield f"{result.name}: {result.operations} operations, {counts}"
    yield from (f"  {note}" for note in result.notes)
    yield from (f"  wrong: {finding}" for finding in result.findings)


def format_table(results: list[Result]) -> str:
    """A row a part."""
    head = ["part", "operations", *VIOLATIONS, "faults", "recovery p50", "longest"]
    return table(
        head,
        [
            [
                result.name,
                f"{result.operations:,}",
                *(str(result.violations[kind]) for kind in VIOLATIONS),
                str(result.faults or ""),
                *([*summarize(result.recoveries), "", ""][:2]),
            ]
            for result in results
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
