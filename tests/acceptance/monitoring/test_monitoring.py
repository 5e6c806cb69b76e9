"""Agent and control plane as processes: figures in a real Prometheus, spans at a receiver."""

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from loadtests.agent_process import await_open
from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.control.plane import Plane
from tests.acceptance.control.plane import served_plane as initialized_plane
from tests.acceptance.ports import port_for_a_run
from tests.acceptance.workers.fleet import pinned
from tests.support.polling import await_value
from tests.unit.protocols.telemetry.receiver import Receiver, receiving

CANARY = "canary-33b1"
WITHIN = 40.0  # seconds
TRACE = "0af7651916cd43dd8448eb211c80319c"


def until(holds: Callable[[], object]) -> None:
    """Wait for what other processes bring about."""
    await_value(holds, WITHIN)


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
    return initialized_plane(file)


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


def opened(agent: Agent) -> None:
    """Unsealed, with a mount `kv`."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.call("PUT", "/v1/sys/unseal", {"key": made.json["keys"][0]})
    agent.token = made.json["root_token"]
    assert agent.call("POST", "/v1/sys/mounts/kv", {"type": "kv"}).status in (200, 204)


def test_both_are_seen_from_outside(folder: Path) -> None:
    """Only the caller's sampled request is traced; no name and no value goes along."""
    for name in ("agent", "plane", "prometheus"):
        (folder / name).mkdir()
    with receiving() as receiver, prometheus(folder / "prometheus") as port:
        section = telemetry(port, receiver.url)
        agent = served_agent(folder / "agent", {"monitoring": {"telemetry": section}})
        plane = served_plane(folder / "plane", section)
        with running(agent), running(plane):
            opened(agent)
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


READS = 3  # by each worker


def traced(receiver: Receiver) -> dict[str, list[tuple[str, Any]]]:
    """Trace → worker ("": the leader) and span."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for body in receiver.bodies("/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {a.key: a.value.string_value for a in resource.resource.attributes}
            for span in resource.scope_spans[0].spans:
                found.setdefault(span.trace_id.hex(), []).append((told.get("worker", ""), span))
    return found


def test_of_an_agent_with_workers_all_is_seen(folder: Path) -> None:
    """A read is one worker's trace, what the leader does one of both; figures are of all.

    Those by remote write are those of `/metrics`, whichever worker is asked.
    """
    (folder / "agent").mkdir()
    (folder / "prometheus").mkdir()
    reads = 'vault_secret_operations_total{operation="secret.read",status="ok"}'
    with receiving() as receiver, prometheus(folder / "prometheus") as port:
        section = telemetry(port, receiver.url)
        listen = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 2}
        config = {"server": listen, "monitoring": {"telemetry": section}}
        agent = served_agent(folder / "agent", config)
        with running(agent):
            opened(agent)
            await_open(agent)  # until then a worker has the leader answer
            with pinned(agent, agent.token) as clients:
                for place, client in enumerate(clients):
                    body = {"data": {CANARY: CANARY}}
                    assert client.call("POST", "/v1/kv/x", body).status in (200, 204)
                    his = {"traceparent": f"00-{place:031x}f-b7ad6b7169203331-01"}
                    made = client.call("POST", "/v1/auth/token/create", {"ttl": "1h"}, headers=his)
                    assert made.status == 200
                    for read in range(READS):
                        above = {"traceparent": f"00-{place:030x}{read}a-b7ad6b7169203331-01"}
                        assert client.call("GET", "/v1/kv/x", headers=above).status == 200
                until(lambda: asked(port, f"{reads} == {READS * len(clients)}"))
                shown = f"{reads} {READS * len(clients)}.0".encode()
                until(
                    lambda: all(shown in client.call("GET", "/metrics").body for client in clients)
                )
        found = traced(receiver)  # what waited was sent at the end
    for place in range(2):
        his_trace = found[f"{place:031x}f"]
        assert len({who for who, _ in his_trace}) == 1
        assert {span.name for _, span in his_trace} >= {"POST", "record", "handle"}
        for read in range(READS):
            read_trace = found[f"{place:030x}{read}a"]
            assert len({who for who, _ in read_trace}) == 1
            assert all(who for who, _ in read_trace)
            assert {span.name for _, span in read_trace} >= {"GET", "secret.read", "record"}
    assert {who for some in found.values() for who, _ in some} >= {"1", "2"}
    assert all(CANARY.encode() not in body for _, _, body in receiver.got)
