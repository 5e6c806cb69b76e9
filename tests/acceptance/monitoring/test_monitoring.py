"""Agent and control plane as processes: figures in a real Prometheus, spans at a receiver."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.agent import FREEHOLD, running, served_agent
from tests.acceptance.control.plane import Plane
from tests.acceptance.ports import port_for_a_run
from tests.unit.protocols.telemetry.receiver import Receiver, receiving

CANARY = "canary-33b1"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def until(holds: Callable[[], object]) -> None:
    """Wait for what other processes bring about."""
    for _ in range(400):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about within 40 s")


@contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """A real one that takes remote writes; its port."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = port_for_a_run()
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(20)


def asked(port: int, query: str) -> list[dict[str, Any]]:
    """What Prometheus has for it; nothing while it begins."""
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        wire.request("GET", f"/api/v1/query?query={quote(query)}")
        found: list[dict[str, Any]] = json.loads(wire.getresponse().read())["data"]["result"]
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return []
    finally:
        wire.close()
    return found


def telemetry(port: int, otlp: str) -> dict[str, Any]:
    """The section of either side's file."""
    return {
        "remote_write": {"url": f"http://127.0.0.1:{port}/api/v1/write"},
        "otlp": {"url": otlp, "sample": 0},
        "interval": "1s",
    }


def served_plane(folder: Path, section: dict[str, Any]) -> Plane:
    """A control plane without a link, not started."""
    settings = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "database": {"url": f"sqlite:///{folder}/control.db"},
        "keys": {"folder": str(folder / "keys")},
        "telemetry": section,
    }
    file = folder / "control.yaml"
    file.write_text(json.dumps(settings))
    return Plane(folder, [FREEHOLD, "control", "serve", "--config", str(file)], token="")


def names(receiver: Receiver) -> set[str]:
    """Of the spans that belong to the caller's trace."""
    found = set()
    for body in receiver.bodies("/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for span in resource.scope_spans[0].spans:
                assert span.trace_id.hex() == TRACE
                found.add(span.name)
    return found


def measured(receiver: Receiver) -> set[str]:
    """The metrics that came by OTLP."""
    return {
        metric.name
        for body in receiver.bodies("/v1/metrics")
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for metric in resource.scope_metrics[0].metrics
    }


def test_both_are_seen_from_outside(folder: Path) -> None:
    """Only the caller's sampled request is traced; no name and no value goes along."""
    for name in ("agent", "plane", "prometheus"):
        (folder / name).mkdir()
    with receiving() as receiver, prometheus(folder / "prometheus") as port:
        section = telemetry(port, receiver.url)
        agent = served_agent(folder / "agent", {"monitoring": {"telemetry": section}})
        plane = served_plane(folder / "plane", section)
        with running(agent), running(plane):
            made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            agent.call("PUT", "/v1/sys/unseal", {"key": made.json["keys"][0]})
            agent.token = made.json["root_token"]
            mounted = agent.call("POST", "/v1/sys/mounts/kv", {"type": "kv"})
            assert mounted.status in (200, 204)
            body = {"data": {CANARY: CANARY}}
            assert agent.call("POST", f"/v1/kv/{CANARY}", body).status in (200, 204)
            parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            assert agent.call("GET", f"/v1/kv/{CANARY}", headers=parent).status == 200
            steps = {"GET", "secret.read", "authenticate", "authorize", "handle", "record"}
            until(lambda: names(receiver) >= steps)
            until(lambda: asked(port, 'vault_sealed{job="freehold-agent"} == 0'))
            until(lambda: asked(port, 'vault_secret_operations_total{operation="secret.read"}'))
            until(lambda: asked(port, 'control_processes{job="freehold-control"} == 1'))
            until(lambda: measured(receiver) >= {"vault_sealed", "control_agents"})
        assert all(CANARY.encode() not in body for _, _, body in receiver.got)
