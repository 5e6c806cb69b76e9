"""How the open agent does, in one look."""

import pytest

from tests.unit.vault.handlers.conftest import House
from vault.audit.broker import BrokerState, SinkState
from vault.handlers.health import MIN_INTERVAL, HealthHandlers, RequestRates, quantile
from vault.handlers.stores import KeyStore
from vault.metrics import DURATION_BUCKETS, Metrics
from vault.model.operation import Capability


def test_rates_are_between_two_looks() -> None:
    """Not known at first; a look too soon tells what was known."""
    metrics, pace = Metrics(), RequestRates()
    pace.sample(metrics.totals(), 0.0)
    assert (pace.requests, pace.p50) == (None, None)
    for _ in range(20):
        metrics.observe_request("GET", "x", 0.004)
    metrics.count_operation("secret.read", "unavailable")
    metrics.count_operation("secret.read", "not_found")
    pace.sample(metrics.totals(), MIN_INTERVAL / 2)
    assert pace.requests is None
    pace.sample(metrics.totals(), MIN_INTERVAL)
    assert (pace.requests, pace.errors, pace.p50) == (20 / MIN_INTERVAL, 1 / MIN_INTERVAL, 5.0)
    pace.sample(metrics.totals(), 2 * MIN_INTERVAL)
    assert (pace.requests, pace.errors, pace.p99) == (0.0, 0.0, None)


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ((1, 0), 0.5, DURATION_BUCKETS[0]),
        ((1, 9), 0.5, DURATION_BUCKETS[1]),
        ((98, 2), 0.99, DURATION_BUCKETS[1]),
    ],
)
def test_a_quantile_is_its_buckets_bound(
    counts: tuple[int, ...], share: float, bound: float
) -> None:
    """In milliseconds; what is beyond all bounds reads as the last one."""
    assert quantile(counts, share) == bound * 1000
    assert quantile((0,) * (len(DURATION_BUCKETS) - 1) + (1,), 0.5) == DURATION_BUCKETS[-2] * 1000


async def test_all_of_it_in_one_look(house: House) -> None:
    """Keyring, cache and log as they are; it takes `read`."""
    sink = SinkState("audit.log", 3, behind=True, on_reserve=False, error="OSError: full")
    health = HealthHandlers(
        KeyStore(house.barrier),
        Metrics(),
        lambda: BrokerState(4, (sink,), "bad"),
        "1.0",
        5,
        house.world,
    )
    assert health.handlers()["sys.health"].capability is Capability.READ
    found = health.state()
    assert (found.version, found.opened_at, found.key_generation) == ("1.0", 5, 1)
    assert (found.audit_size, found.trouble, found.sinks[0].error) == (4, "bad", "OSError: full")
