"""Run Freehold under Locust, shape after shape; exits with 1 when the bar is missed.

Writes docs/benchmarks/locust.md; a quick run writes under .bench/quick instead.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests import h2load, machine, process
from loadtests.mixed_load import failures, report
from loadtests.mixed_load.load_config import LoadConfig, path
from loadtests.mixed_load.verdict import STEADY, Run, judge_run
from loadtests.servers import (
    MOUNT,
    Freehold,
    Server,
    raise_file_limit,
    running_servers,
    scratch_folder,
)

NAMES = 2_000
USERS = 115  # offer some 1,070 requests a second, the bar and a little: 10 from each
SHAPES = {"ramp": 30.0, "spike": 30.0, "soak": 60.0}  # seconds
QUICK = 10.0  # seconds of each
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
Entries = Sequence[Mapping[str, Any]]


def main() -> int:
    """Run the shapes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make locust", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:.0f} s of each shape")
    parser.add_argument("--shape", choices=tuple(SHAPES), action="append", help="only this one")
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--soak", type=float, help="seconds of the soak; 86400 is a day")
    parser.add_argument("--processes", type=int, default=1, help="of Locust")
    chosen = parser.parse_args()
    lengths = {s: QUICK if chosen.quick else SHAPES[s] for s in chosen.shape or SHAPES}
    if chosen.soak and "soak" in lengths:
        lengths["soak"] = chosen.soak
    raise_file_limit()
    entries: dict[str, Entries] = {}
    runs: dict[str, Run] = {}
    with scratch_folder() as folder:
        where = machine.describe_machine(folder)
        server = Freehold(folder)
        with running_servers(server):
            tokens = _people(server.set_up())
            for shape, seconds in lengths.items():
                world = LoadConfig(
                    ca=str(server.ca), names=NAMES, shape=shape, users=chosen.users,
                    seconds=seconds, **tokens,
                )  # fmt: skip
                spent, generated = server.cpu_seconds(), process.children_seconds()
                entries[shape] = _locust(server, world, folder / shape, chosen.processes)
                run = judge_run(shape, entries[shape])
                each = 1e6 / max(run.requests, 1)
                runs[shape] = replace(
                    run,
                    failed_before=_failed(folder / shape).exists(),
                    cpu_us=(server.cpu_seconds() - spent) * each,
                    locust_us=(process.children_seconds() - generated) * each,
                )
                print(f"{shape}: {'; '.join(runs[shape].misses) or 'passed'}  {runs[shape]}")
    out = Path(".bench/quick" if chosen.quick else "docs/benchmarks")
    out.mkdir(parents=True, exist_ok=True)
    (out / "locust.md").write_text(report.render_page(runs, entries, where))
    return 1 if any(run.misses for run in runs.values()) else 0


def _people(server: Server) -> dict[str, str]:
    """Secrets to read, and the credentials of applications and of administrators."""
    h2load.seed(server, [path(index) for index in range(NAMES)], 100)
    own = {"effect": "allow", "paths": ["auth/token/*"], "capabilities": ["create", "update"]}
    can = ["create", "read", "update", "list"]
    secrets = {"effect": "allow", "paths": [f"{MOUNT}/*"], "capabilities": can}
    policies = {"effect": "allow", "paths": ["sys/policies/*"], "capabilities": can}
    root = server.api(server.root_token)
    tokens = {}
    for name, rules in (
        ("application", [own, secrets]),
        ("administrator", [own, secrets, policies]),
    ):
        root.call("PUT", f"/api/v1/policies/{name}", {"rules": rules})
        made = root.call("POST", "/v1/auth/token/create", {"policies": [name], "ttl": "48h"})
        tokens[name] = made["auth"]["client_token"]
    return tokens


def _failed(stem: Path) -> Path:
    return stem.with_suffix(".failed")


def _locust(server: Server, world: LoadConfig, stem: Path, processes: int) -> Entries:
    """Run Locust without its pages. Raises `RuntimeError` when it did not get to its figures."""
    more = ["--processes", str(processes)] if processes > 1 else []
    if world.shape == STEADY:
        more.append("--reset-stats")  # its figures begin when all have joined
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary",
        "--host", server.base, "--json-file", str(stem), "--stop-timeout", "10", *more,
    ]  # fmt: skip
    log = stem.with_suffix(".log")
    with log.open("wb") as out:
        subprocess.run(  # noqa: S603  # our own command
            command, stdout=out, stderr=subprocess.STDOUT, check=False,
            env=os.environ | world.environment() | {
                "PYTHONPATH": str(Path.cwd()), failures.VARIABLE: str(_failed(stem)),
            },
            timeout=world.seconds + 120,
        )  # fmt: skip
    said = log.read_text(errors="replace")
    print(said if "Traceback" in said else said[-4000:], flush=True)
    figures = stem.with_suffix(".json")
    if not figures.exists():
        raise RuntimeError("Locust wrote no figures; what it said is above")
    found: Entries = json.loads(figures.read_text())
    return found


if __name__ == "__main__":
    sys.exit(main())
