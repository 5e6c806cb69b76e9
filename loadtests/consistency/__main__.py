"""The command: `python -m loadtests.consistency --backend postgresql --operations 100000`.

Each part has a cluster of its own. It prints a table and writes consistency.json into a folder.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from loadtests.agent_process import own_folder
from loadtests.consistency import database_faults, scenarios
from loadtests.consistency.checker import VIOLATIONS
from loadtests.consistency.clients import CLIENTS
from loadtests.consistency.cluster import SQLITE, Cluster, running_cluster
from loadtests.consistency.database_faults import enter_own_namespace
from loadtests.consistency.scenarios import Result, summarize
from loadtests.database_servers import (
    MYSQL,
    POSTGRESQL,
    DatabasePlace,
    DatabaseServer,
    run_database_server,
)
from loadtests.markdown import table

Run: TypeAlias = Callable[[Cluster], Result]
DELAY: Final = 2.0  # seconds for a query of the change feed


def main() -> int:
    """Run what was chosen; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make consistency", description=__doc__)
    parser.add_argument("--backend", choices=(POSTGRESQL, MYSQL, SQLITE), default=POSTGRESQL)
    parser.add_argument("--agents", type=int, default=3, help="or workers, on SQLite")
    parser.add_argument("--operations", type=int, default=0, help="reads, writes and lists")
    parser.add_argument("--delayed", type=int, default=0, help="of these, with a feed that is slow")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="of the operations")
    parser.add_argument("--pause", type=float, default=0.0, help="s between those around faults")
    parser.add_argument("--share", type=float, default=1.0, help="of the feed's queries are slow")
    parser.add_argument("--kill", type=int, default=0, help="times: the holder of the head")
    parser.add_argument("--stop", type=int, default=0, help="times: the same, by SIGSTOP")
    parser.add_argument("--cut", type=int, default=0, help="times: an agent off its database")
    parser.add_argument("--restart", type=int, default=0, help="times: the database")
    parser.add_argument("--commit-cuts", type=int, default=0, help="of connections, at COMMIT")
    parser.add_argument("--failover", type=int, default=0, help="times, to a standby (PostgreSQL)")
    parser.add_argument("--set-back", type=int, default=0, help="times: the database, to a backup")
    parser.add_argument("--full-disk", type=int, default=0, help="times: the database's (as root)")
    parser.add_argument("--tokens", type=int, default=0, help="tries of revoked tokens")
    parser.add_argument("--minutes", type=float, help="at most: operations, delayed ones, tries")
    parser.add_argument("--blind", action="store_true", help="do not look, to see stale reads")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--out", type=Path, default=Path(".bench/quick"), help="where to write")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    if chosen.full_disk:
        enter_own_namespace([sys.executable, "-m", __spec__.parent, *sys.argv[1:]])
    results = []
    for server, run in _parts(chosen):
        with own_folder() as folder, running_cluster(folder, server, chosen.agents) as cluster:
            cluster.pause = chosen.pause
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


def _parts(chosen: argparse.Namespace) -> Iterator[tuple[DatabasePlace | None, Run]]:
    """Each part, and the server of its cluster; a part that destroys its server has its own."""
    on_server = chosen.backend != SQLITE
    shared: AbstractContextManager[DatabaseServer | None] = (
        run_database_server(chosen.backend) if on_server else nullcontext()
    )
    with shared as server:
        yield from ((server, run) for run in _parts_of(chosen, server))
    seed = chosen.seed
    for _ in range(chosen.set_back if on_server else 0):
        with run_database_server(chosen.backend) as own:
            yield own, partial(database_faults.set_back, server=own, seed=seed)
    for _ in range(chosen.full_disk if on_server else 0):
        with database_faults.server_on_small_disk(chosen.backend) as own:
            yield own, partial(database_faults.fill_disk, server=own, seed=seed)
    if chosen.failover and chosen.backend == POSTGRESQL:
        with database_faults.replicated_postgresql() as servers:
            yield (
                servers,
                partial(
                    database_faults.fail_over, servers=servers, times=chosen.failover, seed=seed
                ),
            )


def _parts_of(chosen: argparse.Namespace, server: DatabaseServer | None) -> Iterator[Run]:
    seed, clients = chosen.seed, chosen.clients
    within = None if chosen.minutes is None else chosen.minutes * 60
    if chosen.operations:
        yield lambda cluster: scenarios.run_operations(
            cluster, chosen.operations, clients=clients, within=within, seed=seed
        )
    if chosen.delayed:
        yield lambda cluster: scenarios.run_operations(
            cluster,
            chosen.delayed,
            delay=DELAY,
            share=chosen.share,
            clients=clients,
            within=within,
            seed=seed,
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
        if chosen.commit_cuts:
            yield lambda cluster: database_faults.cut_commits(cluster, chosen.commit_cuts, seed)
    if chosen.tokens:
        yield lambda cluster: scenarios.revoke_tokens(cluster, chosen.tokens, within)


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
