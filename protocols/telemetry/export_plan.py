"""What is sent and where to: light, so that reading the settings loads no exporter."""

from pathlib import Path

from msgspec import Struct


class ExportTarget(Struct, frozen=True, kw_only=True):
    """Where to; empty: not at all. `token_file` holds a bearer token, read at each sending."""

    url: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None


class ExportPlan(Struct, frozen=True, kw_only=True):
    """What is sent. `interval` in seconds; `labels` tell this process from others."""

    remote_write: ExportTarget = ExportTarget()
    otlp: ExportTarget = ExportTarget()
    metrics: bool = True
    traces: bool = True
    sample: float = 0.01
    interval: float = 30.0
    labels: dict[str, str] = {}

    @property
    def resource(self) -> dict[str, str]:
        """OpenTelemetry's names for what Prometheus calls job and instance."""
        names = {"job": "service.name", "instance": "service.instance.id"}
        return {names.get(name, name): value for name, value in self.labels.items()}
