"""What is asked of a server, and what a load generator measured of the answers."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

BATCH = 100  # secrets a batch; load.lua makes batches of the same size
STRIDE = 7919  # a prime, as in load.lua: neighbours are not asked for one after the other


@dataclass(frozen=True, kw_only=True)
class Load:
    """KV v2 requests over TLS; `streams` is how many each HTTP/2 connection has open at once."""

    operation: str  # a mode of load.lua; over HTTP/2 read or write
    http: int = 1
    connections: int = 32
    streams: int = 1
    folder: str = "bench/small"
    names: int = 1_000
    value_bytes: int = 100

    @property
    def client(self) -> str:
        """The load generator, as one would type it."""
        if self.http == 1:
            return f"wrk -t1 -c{self.connections}"
        return f"h2load -c{self.connections} -m{self.streams}"

    @property
    def per_request(self) -> int:
        """Secrets that one request is about."""
        return BATCH if self.operation == "batch" else 1

    def paths(self, begin: int = 0, most: int = 100_000) -> list[str]:
        """Paths of up to `most` of the names, spread over all of them, from one of them on."""
        count = min(self.names, most)
        places = ((begin + i) % count for i in range(count))
        return [data_path(self.folder, place * STRIDE % self.names) for place in places]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run of a load: whole seconds under load, times in milliseconds from send to answer."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int = 0  # of the requests; a run that is to count has none
    cpu_us: float = 0.0  # user and system time of the server, for each request
    beside_us: dict[str, float] = field(default_factory=dict)  # of what it works with, the same

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class VoidError(Exception):
    """A run that does not count, and why."""


_begins: Final = itertools.count(0, 37_171)  # a prime: the beginnings are spread over the names


def next_begin() -> int:
    """Which name a run begins at: another one than the run before, whose names are cached now."""
    return next(_begins)


def data_path(folder: str, index: int) -> str:
    """Where the secret of this number is, in folders of a thousand."""
    return f"/v1/secret/data/{folder}/{index // 1000}/{index % 1000}"


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of all are no larger than; 0 of none."""
    if not sorted_values:
        return 0.0
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]
