"""overload.md, overload.json and the plots."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loadtests.load import Sample
from loadtests.machine import sentence
from loadtests.markdown import table
from loadtests.overload.disks import FullDisk
from loadtests.overload.open_loop import CONNECTIONS, STREAMS, Outcome
from loadtests.overload.scenarios import Impact
from loadtests.plot import Axis, line_chart


@dataclass
class Findings:
    """One run; everything by server."""

    taken: str
    machine: dict[str, str]
    capacity: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    seen: dict[str, list[Impact]] = field(default_factory=dict)
    full_disk: dict[str, FullDisk | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write(findings: Findings, folder: Path) -> None:
    """All files, into the folder."""
    raw = json.dumps(asdict(findings), indent=1, ensure_ascii=False)
    (folder / "overload.json").write_text(raw + "\n")
    (folder / "overload.md").write_text(render_page(findings))
    for name, picture in plots(findings.outcomes).items():
        (folder / f"{name}.svg").write_text(picture)


def plots(outcomes: Mapping[str, list[Outcome]]) -> dict[str, str]:
    """File name without its end → the picture; nothing without outcomes."""
    if not outcomes:
        return {}
    across = Axis("offered load, times the server's own capacity")
    goodput = {k: [(o.factor, o.goodput) for o in found] for k, found in outcomes.items()}
    # Where nothing was accepted there is no time of it to show.
    tail = {k: [(o.factor, o.p99_ms) for o in v if o.accepted] for k, v in outcomes.items()}
    return {
        "overload": line_chart("Goodput under overload", goodput, across, Axis("accepted reads/s")),
        "overload-p99": line_chart(
            "p99 of what is accepted, from when it was due", tail, across,
            Axis("milliseconds", logarithmic=True),
        ),
    }  # fmt: skip


RATES = f"""Reads over {CONNECTIONS} HTTP/2 connections at a fixed rate, whatever comes back (at
most {CONNECTIONS * STREAMS:,} in flight); the server has one core, the load the other. Times count
from when a request was due. Capacity is what a closed loop of {CONNECTIONS} requests reaches. The
load's CPU is that of its one thread: near 100 % it is what limits."""
SEEN = """32 connections that read (or write), before and meanwhile. Freehold syncs its audit log
before each answer, OpenBao does not."""


def render_page(findings: Findings) -> str:
    """The whole page."""
    where = f"Written by `make overload`. Machine: {sentence(findings.machine)}"
    parts = ["# Past capacity", where]
    if findings.outcomes:
        parts += ["## More requests than it can answer", RATES]
        parts += ["![Goodput](overload.svg)\n\n![p99](overload-p99.svg)"]
        parts += [_rates(k, findings.capacity[k], found) for k, found in findings.outcomes.items()]
    if any(findings.seen.values()):
        parts += ["## What the others see", SEEN, _seen(findings.seen)]
    if findings.full_disk:
        parts += ["## A full audit disk", _full(findings.full_disk)]
    parts += [f"Not run: {note}" for note in findings.notes]
    return "\n\n".join(parts) + "\n"


def _rates(server: str, capacity: float, outcomes: list[Outcome]) -> str:
    head = [
        "Offered", "accepted/s", "429, 503", "other errors", "unanswered", "p50", "p99",
        "p99 of refusals", "recovered after", "resident", "load's CPU",
    ]  # fmt: skip
    rows = [
        [
            f"{one.factor:g}\N{MULTIPLICATION SIGN} ({one.offered:,.0f}/s)",
            f"{one.goodput:,.0f}",
            f"{one.refused:,}",
            f"{one.failed:,}",
            f"{one.unanswered:,}",
            f"{one.p50_ms:,.0f} ms",
            f"{one.p99_ms:,.0f} ms",
            f"{one.refused_p99_ms:,.0f} ms",
            f"{one.recovery:.1f} s",
            f"{one.resident >> 20} MiB",
            f"{one.generator:.0%}",
        ]
        for one in outcomes
    ]
    return f"**{server}**, capacity {capacity:,.0f}/s:\n\n{table(head, rows)}"


def _seen(seen: Mapping[str, list[Impact]]) -> str:
    head = ["Meanwhile", "Server", "before", "during", "failed", "resident", ""]
    rows = [
        [
            one.what,
            server,
            _figures(one.before),
            _figures(one.during),
            f"{one.during.failed:,}",
            f"{one.resident_before >> 20} → {one.resident_during >> 20} MiB",
            one.note,
        ]
        for server, found in seen.items()
        for one in found
    ]
    return table(head, sorted(rows, key=lambda row: row[0]))


def _figures(sample: Sample) -> str:
    return f"{sample.rate:,.0f}/s, p99 {sample.p99_ms:,.0f} ms"


def _full(found: Mapping[str, FullDisk | None]) -> str:
    head = [
        "Server",
        "reads while full (status: how many)",
        "longest wait",
        "health",
        "answers again",
    ]
    rows = []
    for server, disk in found.items():
        if disk is None:
            rows.append([server, "not run: this user may not mount a small disk", "", "", ""])
            continue
        reads = ", ".join(f"{status}: {count}" for status, count in disk.reads.items())
        back = "did not" if disk.recovery is None else f"after {disk.recovery:.2f} s"
        rows.append([server, reads, f"{disk.longest:.2f} s", str(disk.health), back])
    return table(head, rows)
