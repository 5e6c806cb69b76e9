"""locust.md: what the runs found."""

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.machine import sentence
from loadtests.markdown import table
from loadtests.mixed_load.verdict import P95_MS, RATE, Run, judge_run

BAR = f"""Written by `make locust`. The bar is {RATE:,.0f} requests a second and p95 below
{P95_MS:.0f} ms in the soak, once all users have joined, and no failure in any shape. Freehold syncs
its audit log; Locust runs on the same cores."""

FIGURES = ("requests", "a second", "failures", "p50", "p95", "p99")


def render_page(
    runs: Mapping[str, Run],
    entries: Mapping[str, Sequence[Mapping[str, Any]]],
    where: dict[str, str],
) -> str:
    """The whole page: the verdicts, then every kind of request of every run."""
    parts = ["# Applications, jobs and administrators", BAR, f"Machine: {sentence(where)}"]
    parts.append(_verdicts(runs))
    for shape, found in entries.items():
        parts += [f"## {shape}", _kinds(shape, found)]
    return "\n\n".join(parts) + "\n"


def _verdicts(runs: Mapping[str, Run]) -> str:
    head = ["Shape", "seconds", *FIGURES, "CPU a request: server, Locust", "bar"]
    rows = []
    for shape, run in runs.items():
        cpu = f"{run.cpu_us:,.0f} µs, {run.locust_us:,.0f} µs"
        bar = "; ".join(run.misses) or "passed"
        rows.append([shape, f"{run.seconds:.0f}", *_figures(run), cpu, bar])
    return table(head, rows)


def _kinds(shape: str, entries: Sequence[Mapping[str, Any]]) -> str:
    head = ["Request", *FIGURES]
    named = sorted(entries, key=lambda entry: -entry["num_requests"])
    return table(head, [[entry["name"], *_figures(judge_run(shape, [entry]))] for entry in named])


def _figures(run: Run) -> list[str]:
    return [
        f"{run.requests:,}", f"{run.rate:,.0f}", f"{run.failures:,}",
        *(f"{ms:.0f} ms" for ms in (run.p50_ms, run.p95_ms, run.p99_ms)),
    ]  # fmt: skip
