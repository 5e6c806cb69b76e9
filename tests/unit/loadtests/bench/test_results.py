"""loadtests.bench.results and report: what is written is read again, and shown."""

from pathlib import Path

from loadtests.bench import databases, report
from loadtests.bench.plan import login_load, read_load
from loadtests.bench.results import Comparison, Results, read_results
from loadtests.load import Sample

SAMPLE = Sample(
    requests=100, seconds=2, p50_ms=1, p95_ms=2, p99_ms=3, cpu_us=200,
    beside_us={"database": 40, "HAProxy": 20},
)  # fmt: skip


def results() -> Results:
    """Of one row of each kind."""
    made = Results("now", {"processor": "2 cores"}, {"rounds": 1, "seconds": 2})
    made.comparisons = [Comparison(1_000, read_load(), {"OpenBao": [SAMPLE]})]
    made.on_postgresql = [Comparison(1_000, login_load(), {databases.THREE: [SAMPLE, SAMPLE]})]
    made.memory = {1_000: dict.fromkeys(report.SERVERS, 1 << 20)}
    made.starts = {"stopped": {1_000: {name: [0.5] for name in report.SERVERS}}}
    return made


def test_results_are_read_as_they_were_written() -> None:
    """So that rows of another run can be put in."""
    made = results()
    assert read_results(made.to_json()) == made


def test_published_results_can_be_read(root: Path) -> None:
    """Whichever version has written them."""
    published = read_results((root / "docs/benchmarks/results.json").read_text())
    assert published.comparisons[0].rate("OpenBao")


def test_rows_on_postgresql_show_what_the_servers_work_with() -> None:
    """On the page and in the README's table."""
    made = results()
    assert made.on_postgresql[0].beside(databases.THREE) == SAMPLE.beside_us
    cell = "50/s<br>p99 3.0 ms<br>CPU 200 µs<br>database 40 µs<br>HAProxy 20 µs"
    for text in (report.render_page(made), report.summary(made)):
        assert cell in text
        assert "login (a new token)" in text
    made.on_postgresql = []
    assert "On PostgreSQL" not in report.render_page(made)
