"""The control plane's own figures."""

from control.metrics import PrometheusMetrics


def test_requests_and_live_gauges() -> None:
    """Methods are few whatever a client sends; gauges live as long as their block."""
    metrics = PrometheusMetrics()
    metrics.count_request("GET", 200)
    metrics.count_request("CANARY", 405)
    with metrics.sample_gauges(lambda: {"online": 3}, {"connections": lambda: 2.0}):
        text = metrics.render().decode()
    assert 'control_requests_total{method="GET",status="200"} 1.0' in text
    assert 'control_agents{state="online"} 3.0' in text
    assert "control_connections 2.0" in text
    assert "CANARY" not in text
    assert "control_agents" not in metrics.render().decode()
