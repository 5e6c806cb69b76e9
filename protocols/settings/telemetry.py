"""Where figures and spans are sent, in either file's `monitoring`. Nowhere unless it says so."""

import ipaddress
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section
from protocols.telemetry.export_plan import ExportPlan, ExportTarget


def _address(value: str) -> str:
    """Https, or plain http on this machine."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # else a port that is none shows at the first sending
    except ValueError:
        raise ValueError("is no address") from None
    if not value or (parts.scheme == "https" and parts.hostname):
        return value
    if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
        return value
    raise ValueError("is https://…, or http:// on 127.0.0.1 or ::1")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


ReceiverUrl = Annotated[str, AfterValidator(_address)]


class ReceiverSettings(Section):
    """One receiver; `url` empty: none."""

    url: ReceiverUrl = ""
    token_file: FilePath | None = None
    ca_file: FilePath | None = None

    @property
    def export_target(self) -> ExportTarget:
        """As the exporter takes it."""
        return ExportTarget(url=self.url, token_file=self.token_file, ca_file=self.ca_file)


class OtlpSettings(ReceiverSettings):
    """An OTLP/HTTP receiver (`https://HOST:4318`). `sample`: the share of requests traced."""

    metrics: bool = True
    traces: bool = True
    sample: float = Field(default=0.01, ge=0, le=1)


class TelemetrySettings(Section):
    """What is sent, how often."""

    remote_write: ReceiverSettings = ReceiverSettings()
    otlp: OtlpSettings = OtlpSettings()
    interval: Duration = Field(default=30 * SECOND, ge=SECOND, le=3600 * SECOND)
    instance: str = Field(default="", max_length=128)

    @model_validator(mode="after")
    def _token_needs_url(self) -> Self:
        for remote in (self.remote_write, self.otlp):
            if remote.token_file is not None and not remote.url:
                raise ValueError("has a token_file and no url to send it to")
        return self

    def export_plan(self, job: str, instance: str) -> ExportPlan:
        """As the exporter takes it."""
        return ExportPlan(
            remote_write=self.remote_write.export_target,
            otlp=self.otlp.export_target,
            metrics=self.otlp.metrics,
            traces=self.otlp.traces,
            sample=self.otlp.sample,
            interval=self.interval / SECOND,
            labels={"job": job, "instance": self.instance or instance},
        )
