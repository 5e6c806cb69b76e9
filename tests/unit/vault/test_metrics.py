from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.tree import MailboxStats, Node
from vault.metrics import GAUGES, MAX_REASONS, MAX_SERIES, Metrics


def samples(metrics: Metrics) -> Mapping[str, float]:
    """`name{label=value,…}` → value, as a scraper reads it."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_the_names_of_the_seed() -> None:
    """Dashboards built on the design's four names keep working."""
    metrics = Metrics()
    metrics.count_operation("secret.read", "ok")
    metrics.count_operation("secret.read", "ok")
    metrics.count_operation("secret.read", "not_found")
    metrics.observe_request("GET", "/api/v1/secrets/{path}", 0.02)
    found = samples(metrics)
    assert found["vault_secret_operations_total{operation=secret.read,status=ok}"] == 2
    assert found["vault_secret_operations_total{operation=secret.read,status=not_found}"] == 1
    name = "vault_request_duration_seconds"
    series = "endpoint=/api/v1/secrets/{path}"
    assert found[f"{name}_count{{{series},method=GET}}"] == 1
    assert found[f"{name}_sum{{{series},method=GET}}"] == 0.02
    assert found[f"{name}_bucket{{{series},le=0.01,method=GET}}"] == 0
    assert found[f"{name}_bucket{{{series},le=0.025,method=GET}}"] == 1
    assert found["vault_active_connections{}"] == 0
    assert found["vault_cache_hit_rate{}"] == 0


def test_labels_stay_bounded() -> None:
    """A caller who invents methods, or a bug that invents labels, cannot fill the memory."""
    metrics = Metrics()
    metrics.observe_request("BREW", "/coffee", 1.0)
    for n in range(MAX_SERIES + 50):
        metrics.count_operation(f"op{n}", "ok")
        metrics.observe_request("GET", f"/{n}", 0.1)
    found = samples(metrics)
    assert found["vault_secret_operations_total{operation=other,status=other}"] == 50
    assert found["vault_request_duration_seconds_count{endpoint=other,method=other}"] == 51
    counted = [name for name in found if name.startswith("vault_secret_operations_total")]
    assert len(counted) == MAX_SERIES + 1
    assert not any("coffee" in name for name in found)


def test_a_gauge_follows_its_source_while_it_lives() -> None:
    """The value is read at each scrape, and is 0 once what it came from is torn down."""
    metrics = Metrics()
    rate = 50.0
    with metrics.track_gauges(cache_hit_rate=lambda: rate):
        assert samples(metrics)["vault_cache_hit_rate{}"] == 50.0
        rate = 75.0
        assert samples(metrics)["vault_cache_hit_rate{}"] == 75.0
    assert samples(metrics)["vault_cache_hit_rate{}"] == 0.0


def test_an_unknown_gauge_is_refused() -> None:
    """A misspelt name is an error where it is written, and nothing is bound."""
    metrics = Metrics()
    with (
        pytest.raises(KeyError),
        metrics.track_gauges(sealed=lambda: 1.0, cache_hitrate=lambda: 1.0),
    ):
        pytest.fail("the block must not run")
    assert samples(metrics)["vault_sealed{}"] == 0.0
    assert set(GAUGES) == {
        name.removeprefix("vault_").removesuffix("{}")
        for name in samples(metrics)
        if name.endswith("{}") and not name.endswith("_total{}")
    }


def test_actors_are_shown_while_they_live() -> None:
    """Depth, restarts, messages and what was lost, by path; gone with the tree."""
    box = MailboxStats(
        depth=3, bound=8, overflow="wait", waiting=0, dropped=1, refused=2, expired=3, lost=4
    )
    writer = Node("agent/writer", "Writer", "running", 2, None, 10, 0.5, 1.0, box)
    root = Node("agent", "one_for_one", "running", children=(writer,))
    metrics = Metrics()
    with metrics.track_actors(lambda: root):
        found = samples(metrics)
    assert found["vault_actor_mailbox_depth{actor=agent/writer}"] == 3
    assert found["vault_actor_restarts_total{actor=agent/writer}"] == 2
    assert found["vault_actor_messages_total{actor=agent/writer}"] == 10
    assert found["vault_actor_busy_seconds_total{actor=agent/writer}"] == 5.0
    assert found["vault_actor_messages_lost_total{actor=agent/writer}"] == 10
    assert found["vault_actor_up{actor=agent}"] == 1
    assert "vault_actor_mailbox_depth{actor=agent}" not in found
    assert b"vault_actor" not in metrics.render()


def test_counters_are_read_where_they_are_kept() -> None:
    """At each scrape; a name that nobody declared is an error."""
    metrics, shed = Metrics(), 3.0
    metrics.register_counters(requests_shed=lambda: shed)
    assert samples(metrics)["vault_requests_shed_total{}"] == 3
    shed = 5.0
    assert samples(metrics)["vault_requests_shed_total{}"] == 5
    with pytest.raises(KeyError):
        metrics.register_counters(made_up=float)


def test_totals_are_all_that_was_counted() -> None:
    """Over all endpoints, in the buckets of the durations."""
    metrics = Metrics()
    assert sum(metrics.totals().counts) == 0
    metrics.count_operation("secret.read", "ok")
    metrics.observe_request("GET", "a", 0.001)
    metrics.observe_request("GET", "b", 100.0)
    totals = metrics.totals()
    assert totals.operations == {("secret.read", "ok"): 1}
    assert (totals.counts[0], totals.counts[-1], len(totals.counts)) == (1, 1, 15)
    assert totals.seconds == 100.001


def test_refused_requests_are_counted_by_reason_and_bounded() -> None:
    """Also those of other processes; the usual reasons are there before the first one."""
    one, other = Metrics(), Metrics()
    assert samples(one)["vault_requests_refused_total{reason=audit_unavailable}"] == 0
    one.count_refusal("audit_unavailable")
    other.count_refusal("audit_unavailable")
    for n in range(MAX_REASONS):
        other.count_refusal(f"reason-{n}")
    one.merge_counts(*other.drain_counts())
    one.merge_counts(*other.drain_counts())
    found = samples(one)
    assert found["vault_requests_refused_total{reason=audit_unavailable}"] == 2
    assert found["vault_requests_refused_total{reason=other}"] == 4
    counted = [name for name in found if name.startswith("vault_requests_refused_total")]
    assert len(counted) == MAX_REASONS + 1


def test_each_audit_sink_is_shown_while_it_is_followed() -> None:
    """Whether it fails, and for how long."""
    metrics = Metrics()
    with metrics.track_sinks(lambda: {"file": 0.0, "syslog": 61.5}):
        found = samples(metrics)
        assert metrics.sinks()["syslog"] == 61.5
    assert found["vault_audit_sink_failing{sink=file}"] == 0
    assert found["vault_audit_sink_failing{sink=syslog}"] == 1
    assert found["vault_audit_sink_failing_seconds{sink=syslog}"] == 61.5
    assert not any("sink_failing" in name for name in samples(metrics))
    assert not metrics.sinks()
