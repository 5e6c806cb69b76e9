"""fleet.md: what the runs found."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from loadtests.fleet.agent import CHECKING
from loadtests.fleet.client import DIALLING
from loadtests.fleet.results import AIM, FleetResult, Percentiles
from loadtests.machine import sentence
from loadtests.markdown import table

INTRODUCTION: Final = f"""# A fleet on one control plane

Written by `make bench-fleet` (`FULL=1`: 10,000 agents too). One `freehold control dev` (SQLite, one
process), and simulated agents in two client processes on the same cores: real certificates,
mutual TLS, websockets, sessions and signatures, but no vault, no egress ledger and no figures
behind them. They are enrolled beforehand by the control plane's own authority, on record as through
its door. One of {CHECKING} verifies what the control plane has signed (certificate, frames,
bundle); the others take it by the word of TLS, for that work would be done on the same cores and is
no control plane's.

- *All linked*: from the first dial until the last agent has proven itself; {DIALLING} at a time in
  each client.
- *At rest*: pings every 10 s, a heartbeat a minute, nothing else.
- *Heartbeats a second*: as many as are taken, 32 agents of each client at a time; ten, then a ping
  whose answer shows that they were taken. The clients have the same cores, so it is the CPU of one
  that says most.
- *Policy*: a roll-out to all, from the request until the control plane has acknowledged each
  agent's word that it is applied. Aim: {AIM:.0f} s.
- Memory is resident memory; CPU is user and system time of the control plane, behind it that of
  all clients; a share is of one core.
"""

Row = tuple[str, Callable[[FleetResult], str]]

TOTALS: Final[Sequence[Row]] = (
    ("all linked", lambda f: f"{f.connect.seconds:.1f} s"),
    ("resident before, with all linked", lambda f: f"{_mib(f.empty)}, {_mib(f.full)}"),
    ("CPU meanwhile", lambda f: f"{f.connect.cpu:.1f} s, {f.connect.clients:.1f} s"),
    ("CPU at rest", lambda f: f"{f.rest.share:.1%}, {f.rest.clients / f.rest.seconds:.1%}"),
    ("heartbeats a second", lambda f: f"{f.beats_a_second:,.0f} at {f.beating.share:.0%} CPU"),
    ("ten heartbeats and a ping: p50, p99, longest", lambda f: _spread(f.trip, 1e3, "ms")),
    ("policy applied by all: p50, p99, longest", lambda f: _spread(f.policy, 1, "s")),
    (
        "request answered, policy applied by the first",
        lambda f: f"{f.answered:.2f} s, {f.first:.2f} s",
    ),
    ("CPU for it", lambda f: f"{f.push.cpu:.1f} s, {f.push.clients:.1f} s"),
    ("linked, shown as applied", lambda f: f"{f.linked:,}, {f.shown_applied:,}"),
    ("connections lost or refused", lambda f: _losses(f.losses)),
    ("warnings in its log", lambda f: f"{f.warnings:,}"),
    ("resident, all clients", lambda f: _mib(f.clients)),
    ("the whole run, with enrolling them", lambda f: f"{f.took:.0f} s"),
)

EACH: Final[Sequence[Row]] = (
    ("memory", lambda f: f"{f.kib_each:,.0f} KiB"),
    ("CPU to link", lambda f: f"{f.connect_ms_each:.1f} ms"),
    ("CPU at rest, a second", lambda f: f"{f.rest_us_each:,.0f} µs"),
    ("CPU of a heartbeat beyond that", lambda f: f"{f.beat_us:,.0f} µs"),
    ("CPU of a policy beyond that", lambda f: f"{f.push_ms_each:.2f} ms"),
    ("CPU of a client to link", lambda f: f"{f.connect.clients * 1e3 / f.agents:.1f} ms"),
    ("CPU of a client for a policy", lambda f: f"{f.push.clients * 1e3 / f.agents:.2f} ms"),
)


def render_page(found: Sequence[FleetResult], where: Mapping[str, str]) -> str:
    """The whole page."""
    parts = [INTRODUCTION.strip(), f"Machine: {sentence(dict(where))}"]
    parts += ["## The fleet", _rows(TOTALS, found), "## Each agent", _rows(EACH, found)]
    return "\n\n".join(parts) + "\n"


def _rows(rows: Sequence[Row], found: Sequence[FleetResult]) -> str:
    head = ["", *(f"{each.agents:,} agents" for each in found)]
    return table(head, [[name, *map(show, found)] for name, show in rows])


def _spread(spread: Percentiles, scale: float, unit: str) -> str:
    three = (spread.p50, spread.p99, spread.longest)
    digits = 0 if unit == "ms" else 2
    return ", ".join(f"{each * scale:,.{digits}f}" for each in three) + f" {unit}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def _losses(losses: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in losses.items()) or "none"
