"""Where telemetry goes: nowhere by default, and never in the clear beyond this machine."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from protocols.settings.telemetry import OtlpSettings, ReceiverSettings, TelemetrySettings


def test_it_is_off() -> None:
    """Without an address there is none in the plan."""
    plan = TelemetrySettings().export_plan("freehold", "host")
    assert (plan.remote_write.url, plan.otlp.url) == ("", "")
    assert plan.labels == {"job": "freehold", "instance": "host"}
    assert plan.resource == {"service.name": "freehold", "service.instance.id": "host"}


@pytest.mark.parametrize(
    "url", ["https://o.example:4318", "http://127.0.0.1:4318", "http://[::1]:9"]
)
def test_addresses(url: str) -> None:
    """TLS anywhere, without it on loopback."""
    chosen = TelemetrySettings(otlp=OtlpSettings(url=url, sample=1), instance="a")
    plan = chosen.export_plan("freehold", "host")
    assert (plan.otlp.url, plan.sample, plan.labels["instance"]) == (url, 1, "a")


@pytest.mark.parametrize(
    "url",
    ["http://o.example:4318", "ftp://x", "o.example", "https://", "https://o:99999", "https://["],
)
def test_others_are_refused(url: str) -> None:
    """Plain http elsewhere would tell everybody on the way."""
    with pytest.raises(ValidationError):
        ReceiverSettings(url=url)


def test_a_token_needs_an_address() -> None:
    """Else it is a mistake."""
    with pytest.raises(ValidationError):
        TelemetrySettings(remote_write=ReceiverSettings(token_file=Path("/x/token")))
