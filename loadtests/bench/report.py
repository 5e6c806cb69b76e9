"""The results as a page with tables, plots, and the block in the README."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench import databases
from loadtests.bench.contestants import COPIES
from loadtests.bench.plan import MAIN, ROWS_AT
from loadtests.bench.results import BASE, Comparison, Results
from loadtests.machine import sentence
from loadtests.markdown import fill_block, table
from loadtests.plot import Axis, bar_chart, line_chart

SERVERS = (BASE, *COPIES)
NOTHING = "—"
TIMES = "\N{MULTIPLICATION SIGN}"
BUSY = 0.05  # share of the machine that others may have before the page says so


def write(results: Results, folder: Path, readme: Path | None) -> None:
    """results.json, results.md and the plots in the folder, and the README's block.

    Raises `ValueError` when the README lacks the marks of its block.
    """
    (folder / "results.json").write_text(results.to_json())
    (folder / "results.md").write_text(render_page(results))
    for name, picture in plots(results).items():
        (folder / f"{name}.svg").write_text(picture)
    if readme is not None:
        fill_block(readme, "bench", summary(results))


def render_page(results: Results) -> str:
    """The whole page."""
    parts = [
        "# Freehold beside OpenBao",
        "Written by `make bench`; results.json beside it has every round. " + _how(results),
        f"Machine: {sentence(results.machine)}",
        _disturbance(results),
        _bullets(results.notes),
        "![Throughput](throughput.svg)\n\n![p99](latency.svg)",
        "![Throughput by stored secrets](scale.svg)" if len(_scale(results)) > 1 else "",
        "## Every row",
        _rows(results.comparisons),
        "## On PostgreSQL" if results.on_postgresql else "",
        _on_postgresql(results),
        "## Memory",
        _memory(results),
        "## Start to the first read",
        _starts(results),
        "## Runs that do not count",
        _bullets(results.voids) or "None: every answer was 2xx and audited.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(results: Results) -> str:
    """What the README shows."""
    main = [row for row in results.comparisons if row.stored == ROWS_AT][: len(MAIN)]
    where = f"Machine: {results.machine['processor']}."
    parts = [
        "![Secrets a second, Freehold beside OpenBao](docs/benchmarks/throughput.svg)",
        _rows(main),
        _on_postgresql(results),
        f"{_how(results)} {_disturbance(results)} {where}",
        "All rows, memory and starts: [docs/benchmarks/results.md](docs/benchmarks/results.md).",
    ]
    return "\n\n".join(parts)


def plots(results: Results) -> dict[str, str]:
    """File name without its end → the picture."""
    shown = [row for row in results.comparisons if row.stored == ROWS_AT and not row.skipped]
    found = {
        "throughput": bar_chart(
            "Secrets a second (more is better)", _grouped(shown, "rate"), unit="/s"
        ),
        "latency": bar_chart("p99 (less is better)", _grouped(shown, "p99"), unit="ms"),
    }
    scale = _scale(results)
    if len(scale) > 1:
        series = {
            name: [(float(stored), rates[name]) for stored, rates in scale.items() if name in rates]
            for name in SERVERS
        }
        axis = Axis("secrets stored", logarithmic=True)
        title = f"{MAIN[0].load.client}: reads by number of stored secrets"
        found["scale"] = line_chart(title, series, axis, Axis("reads a second"))
    return found


def _grouped(rows: Sequence[Comparison], figure: str) -> dict[str, dict[str, float]]:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        values = {server: getattr(row, figure)(server) for server in SERVERS}
        label = f"{row.label}, {row.load.connections * row.load.streams} at once"
        groups[label] = {server: value for server, value in values.items() if value is not None}
    return groups


def _scale(results: Results) -> dict[int, dict[str, float]]:
    """Stored secrets → server → rate of the first main row."""
    found: dict[int, dict[str, float]] = {}
    for row in results.comparisons:
        load = row.load
        if (load.operation, load.client, load.value_bytes) == ("read", MAIN[0].load.client, 100):
            rates = {server: row.rate(server) for server in SERVERS}
            found[row.stored] = {server: rate for server, rate in rates.items() if rate}
    return found


def _on_postgresql(results: Results) -> str:
    if not results.on_postgresql:
        return ""
    return (
        "On PostgreSQL with its default settings, a server each, client and agents on the same "
        "cores; no audit log is synced. One agent has a worker a core, three have one process "
        f"each.\n\n{_rows(results.on_postgresql, databases.NAMES)}"
    )


def _rows(rows: Sequence[Comparison], servers: Sequence[str] = SERVERS) -> str:
    head = ["Load", "Client", "Stored", *servers]
    return table(
        head,
        [
            [
                row.label,
                f"`{row.load.client}`",
                f"{row.stored:,}",
                *(_cell(row, s) for s in servers),
            ]
            for row in rows
        ],
    )


def _cell(row: Comparison, server: str) -> str:
    if row.skipped:
        return f"not run: {row.skipped}"
    if server in row.void:
        return f"void: {row.void[server]}"
    rate, p99, cpu = row.rate(server), row.p99(server), row.cpu(server)
    if rate is None or p99 is None or cpu is None:
        return NOTHING
    ratio, base = row.ratio(server), row.p99(BASE)
    beside, tail = "", ""
    if server != BASE and ratio and base:
        beside, tail = f"**{ratio:.1f}{TIMES}** ", f" ({p99 / base:.2f}{TIMES})"
    more = "".join(f"<br>{what} {us:,.0f} µs" for what, us in row.beside(server).items())
    return f"{beside}{rate:,.0f}/s<br>p99 {p99:.1f} ms{tail}<br>CPU {cpu:,.0f} µs{more}"


def _memory(results: Results) -> str:
    rows = []
    for stored, sizes in results.memory.items():
        shown = [f"{sizes[s] >> 20} MiB ({sizes[s] / sizes[BASE]:.2f}{TIMES})" for s in SERVERS]
        rows.append([f"{stored:,}", *shown])
    what = (
        "Of all processes, what they share counted once (PSS), freshly started, after reads of "
        "10,000 of them (or of all). OpenBao maps its database file, and the rows above have "
        "written to it.\n\n"
    )
    return what + table(["Stored", *SERVERS], rows)


def _starts(results: Results) -> str:
    rows = [
        [f"{stored:,}", how, *(f"{statistics.median(found[s]):.2f} s" for s in SERVERS)]
        for how, by_stored in results.starts.items()
        for stored, found in by_stored.items()
    ]
    return "Medians, from the start of the process, unsealing included.\n\n" + table(
        ["Stored", "After", *SERVERS], rows
    )


def _how(results: Results) -> str:
    profile = results.profile
    return (
        f"KV v2 over TLS, file audit, a token that is not root; medians of {profile['rounds']} "
        f"rounds of {profile['seconds']} s in which the servers take turns, the others standing "
        "still. OpenBao does not sync its audit file. Freehold is shown without that sync as well "
        "(`audit.durability: write`) and with it, which is its default (fsynced); each with a "
        "worker a core, which is its default (`server.workers: auto`), and as one process. CPU is "
        "the server's user and system time for one secret."
    )


def _disturbance(results: Results) -> str:
    shares = [share for row in results.comparisons for share in row.others]
    if not shares:
        return ""
    middle = statistics.median(shares)
    text = f"Others had {middle:.0%} of the machine's CPU time (median; at most {max(shares):.0%})"
    return f"{text}: {'busy, so read CPU and ratios' if middle > BUSY else 'quiet'}."


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
