"""screen.md: what the runs found."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from loadtests.dashboard.results import DashboardResult
from loadtests.machine import sentence
from loadtests.markdown import table

INTRODUCTION: Final = """# The dashboard in a browser

Written by `make bench-screen` (`FULL=1`: 10,000 agents too). One control plane on SQLite with its
pages in the measuring process, Chromium without a window on the same cores. The agents are seeded:
their reports, one a minute each, and their links are told to the hub as the gateway tells them, so
that what an agent and its link cost is not in here.

- *An alert*: from before it is stored (with its fsync) to the number of open alerts on the fleet's
  page. *A link*: from the gateway's word that it fell or came back to the word on the agent's page.
  A change waits 50 ms for others, to be one message with them: so much is by design. *DOM*: the
  text has changed; *drawn*: the frame with it is done. Clocks are the machine's, in whole
  milliseconds in the browser.
- *Bytes*: messages of the feed with their frames' headers, on the fleet's page (fleet, curves,
  alerts, trail), without TCP and the page itself. The reports of a second are told at once, so they
  share messages; agents that spread them cost some 30 bytes a report more.
- *Heap*: `JSHeapUsedSize` on the fleet's page after a forced collection, before and after hours of
  the fleet's life that are played quickly: the same reports and points of curves as in an hour,
  the reports of ten seconds in a message.
"""


def render_page(found: Sequence[DashboardResult], where: Mapping[str, str], load: float) -> str:
    """The whole page; `load`: the load average afterwards."""
    rows = [
        ("alert to DOM: p50, max", [_spread(each.alert, 0) for each in found]),
        ("alert to drawn: p50, max", [_spread(each.alert, 1) for each in found]),
        ("link to DOM: p50, max", [_spread(each.link, 0) for each in found]),
        ("link to drawn: p50, max", [_spread(each.link, 1) for each in found]),
        ("events of each kind", [f"{len(each.alert)}" for each in found]),
        ("page opened until its curves", [f"{each.opened:.1f} s" for each in found]),
        ("snapshots at its opening", [_kib(each.snapshot) for each in found]),
        ("received a minute", [_kib(each.bytes_a_minute) for each in found]),
        ("messages a minute", [f"{each.messages_a_minute:,.0f}" for each in found]),
        ("heap before, after each hour", [_heap(each) for each in found]),
        ("DOM nodes at the same moments", [", ".join(map(str, each.nodes)) for each in found]),
        ("reports in those hours", [f"{each.events:,}" for each in found]),
    ]
    head = ["", *(f"{each.agents:,} agents" for each in found)]
    machine = f"Machine: {sentence(dict(where))} Load average afterwards: {load:.2f}."
    parts = [INTRODUCTION.strip(), machine, table(head, [[name, *row] for name, row in rows])]
    return "\n\n".join(parts) + "\n"


def _spread(times: Sequence[tuple[float, float]], which: int) -> str:
    values = [each[which] for each in times]
    return f"{median(values):,.0f}, {max(values):,.0f} ms"


def _kib(size: float) -> str:
    return f"{size / 1024:,.1f} KiB"


def _heap(found: DashboardResult) -> str:
    return ", ".join(f"{each:.1f}" for each in found.heap) + " MiB"
