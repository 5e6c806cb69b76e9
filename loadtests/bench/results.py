"""Everything that a run found, as it stands in results.json."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.load import Load, Sample

BASE = "OpenBao"
_SAID = {
    "mixed": "90/10 mixed", "batch": "batch read", "list": "list of 1,000 names",
    "lookup": "token lookup-self", "login": "login (a new token)",
}  # fmt: skip


@dataclass
class Comparison:
    """One row: every round of every server, or why there is none."""

    stored: int
    load: Load
    rounds: dict[str, list[Sample]] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)  # server → why its runs do not count
    skipped: str = ""
    others: list[float] = field(default_factory=list)
    """Of each run, the share of the machine's CPU time that neither side of it had."""

    @property
    def label(self) -> str:
        """What was asked, without the number of stored secrets."""
        size = "" if self.load.value_bytes == 100 else f" {_size(self.load.value_bytes)}"  # noqa: PLR2004
        what = _SAID.get(self.load.operation, self.load.operation)
        return f"{what}{size}, HTTP/{'2' if self.load.http == 2 else '1.1'}"  # noqa: PLR2004

    def rate(self, server: str) -> float | None:
        """The median of secrets a second; none without rounds that count."""
        return self._median(server, "rate", self.load.per_request)

    def p99(self, server: str) -> float | None:
        """The median of p99, in milliseconds."""
        return self._median(server, "p99_ms")

    def cpu(self, server: str) -> float | None:
        """The median of CPU time for one secret, in microseconds."""
        return self._median(server, "cpu_us", 1 / self.load.per_request)

    def beside(self, server: str) -> dict[str, float]:
        """The same of what the server works with, by its name: its database, a balancer."""
        rounds = self.rounds.get(server)
        if not rounds or server in self.void:
            return {}
        return {
            name: statistics.median(sample.beside_us[name] for sample in rounds)
            for name in rounds[0].beside_us
        }

    def ratio(self, server: str) -> float | None:
        """Throughput beside OpenBao's."""
        rate, base = self.rate(server), self.rate(BASE)
        return rate / base if rate and base else None

    def _median(self, server: str, name: str, factor: float = 1) -> float | None:
        rounds = self.rounds.get(server)
        if not rounds or server in self.void:
            return None
        values: list[float] = [getattr(sample, name) for sample in rounds]
        single = self.load.operation == "batch" and server == BASE  # it has none: single reads
        return statistics.median(values) * (1 if single else factor)


@dataclass
class Results:
    """One run of the benchmark."""

    taken: str
    machine: dict[str, str]
    profile: dict[str, object]
    comparisons: list[Comparison] = field(default_factory=list)
    memory: dict[int, dict[str, int]] = field(default_factory=dict)
    """Stored secrets → server → resident bytes, freshly started, after reads of 10,000 of them."""
    starts: dict[str, dict[int, dict[str, list[float]]]] = field(default_factory=dict)
    """How it ended before → stored secrets → server → seconds from start to the first read."""
    on_postgresql: list[Comparison] = field(default_factory=list)
    """The rows of `bench.databases`."""
    notes: list[str] = field(default_factory=list)
    """What is to be known beside: sentences, by whoever put rows of another run in."""

    @property
    def voids(self) -> list[str]:
        """Every run that does not count, and why."""
        return [
            f"{row.label}, {row.load.client}, {row.stored:,} stored, {server}: {why}"
            for row in [*self.comparisons, *self.on_postgresql]
            for server, why in row.void.items()
        ]

    def to_json(self) -> str:
        """All raw figures."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def read_results(text: str) -> Results:
    """Of results.json, to put rows of another run in."""
    raw = json.loads(text)
    for rows in ("comparisons", "on_postgresql"):
        raw[rows] = [_comparison(row) for row in raw.get(rows, [])]
    raw["memory"] = {int(stored): sizes for stored, sizes in raw["memory"].items()}
    raw["starts"] = {
        how: {int(stored): found for stored, found in by_stored.items()}
        for how, by_stored in raw["starts"].items()
    }
    return Results(**raw)


def _comparison(raw: dict[str, Any]) -> Comparison:
    rounds = {server: [Sample(**one) for one in some] for server, some in raw["rounds"].items()}
    return Comparison(**raw | {"load": Load(**raw["load"]), "rounds": rounds})


def _size(count: int) -> str:
    return f"{count >> 10} KiB"
