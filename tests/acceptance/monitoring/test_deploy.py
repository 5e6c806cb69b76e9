"""Rules and dashboard against what really runs: an agent and a control plane, and a Prometheus."""

import http.client
import json
from pathlib import Path
from urllib.parse import quote

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.agent import Client, running, served_agent
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.monitoring.test_monitoring import (
    asked,
    opened,
    prometheus,
    served_plane,
    until,
)
from tests.unit.deploy.test_monitoring import OURS, RULES, queries


def expressions() -> dict[str, str]:
    """Every query of the rules and of the dashboard's panels, by where it stands."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules}
    found |= {f"{title} {place}": expr for place, (title, expr) in enumerate(queries())}
    # Grafana's own variables stand for a time and for the instances that were chosen.
    return {
        name: expr.replace("$__rate_interval", "5m").replace("$instance", ".*")
        for name, expr in found.items()
    }


def shown(port: int) -> set[str]:
    """The names of the samples at `/metrics`."""
    with Client(port, "") as client:
        text = client.call("GET", "/metrics").body.decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


def verdict(port: int, query: str) -> str:
    """What Prometheus says of a query."""
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        wire.request("GET", f"/api/v1/query?query={quote(query)}")
        answer = json.loads(wire.getresponse().read())
    finally:
        wire.close()
    return str(answer.get("error") or answer["status"])


def test_what_is_watched_is_what_is_told(folder: Path) -> None:
    """Each metric is in a live scrape of one of the two; Prometheus takes each query over them."""
    for name in ("agent", "plane", "linked", "prometheus"):
        (folder / name).mkdir()
    with prometheus(folder / "prometheus") as port:
        section = {"remote_write": {"url": f"http://127.0.0.1:{port}/api/v1/write"},
                   "interval": "1s"}  # fmt: skip
        agent = served_agent(folder / "agent", {"monitoring": {"telemetry": section}})
        plane = served_plane(folder / "plane", section)
        linked = dev_plane(folder / "linked")  # one that agents may come to
        with running(agent), running(plane), running(linked):
            opened(agent)
            assert agent.call("POST", "/v1/kv/x", {"data": {"v": 1}}).status in (200, 204)
            until(lambda: asked(port, "vault_sealed == 0") and asked(port, "control_leads == 1"))
            linked.call("GET", "/api/v1/openapi.json")
            told = shown(agent.port) | shown(linked.port)
            found = {name: verdict(port, query) for name, query in expressions().items()}
    used = {name for query in expressions().values() for name in OURS.findall(query)}
    assert len(used) > 20
    assert used - told == set()
    assert {name: said for name, said in found.items() if said != "success"} == {}
