"""Sending: what was planned, and on when a receiver fails."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from actors import SystemWorld
from protocols.telemetry.activation import make_tracing, running_exporter
from protocols.telemetry.export_plan import ExportPlan, ExportTarget
from protocols.telemetry.exporter import TelemetryExporter
from tests.unit.protocols.telemetry.figures import families
from tests.unit.protocols.telemetry.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """On a port of its own."""
    with receiving() as running:
        yield running


def plan(receiver: Receiver, token_file: Path | None = None) -> ExportPlan:
    """Everything to one receiver."""
    return ExportPlan(
        remote_write=ExportTarget(url=f"{receiver.url}/api/v1/write", token_file=token_file),
        otlp=ExportTarget(url=receiver.url),
        interval=3600,
        sample=1.0,
        labels={"job": "x", "instance": "y"},
    )


async def until(receiver: Receiver, count: int) -> None:
    """Wait for so many requests."""
    with trio.fail_after(30):
        while len(receiver.got) < count:  # noqa: ASYNC110  # another thread receives
            await trio.sleep(0.01)


async def test_all_three_are_sent(receiver: Receiver, tmp_path: Path) -> None:
    """Remote write with its token, figures and spans by OTLP; at the end what still waits."""
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    world, chosen = SystemWorld(), plan(receiver, token)
    tracing = make_tracing(chosen, world.new_id)
    assert tracing is not None
    async with running_exporter(chosen, families, tracing, now=world.now, sleep=world.sleep):
        await until(receiver, 2)
        with tracing.request_span("GET", ""):
            pass
    paths = sorted(path for path, _, _ in receiver.got)
    assert paths == ["/api/v1/write", "/v1/metrics", "/v1/traces"]
    headers = next(headers for path, headers, _ in receiver.got if path == "/api/v1/write")
    assert headers["Authorization"] == "Bearer t0ken"
    assert (headers["Content-Encoding"], headers["X-Prometheus-Remote-Write-Version"]) == (
        "snappy", "0.1.0",
    )  # fmt: skip


async def test_off_does_nothing() -> None:
    """No address, no span, no task."""
    world, nothing = SystemWorld(), ExportPlan()
    assert make_tracing(nothing, world.new_id) is None
    async with running_exporter(nothing, families, None, now=world.now, sleep=world.sleep):
        pass


async def test_failures_are_counted_and_told_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, then away: it goes on, and says so again only after it had worked."""
    world = SystemWorld()
    chosen = ExportPlan(remote_write=ExportTarget(url=f"{receiver.url}/w"), interval=0.01)
    exporter = TelemetryExporter(chosen, families, None, now=world.now, sleep=world.sleep)
    receiver.status = 500
    with caplog.at_level(logging.WARNING, "freehold.telemetry"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            await until(receiver, 3)
            nursery.cancel_scope.cancel()
    assert exporter.failed_exports >= 2
    assert [record.message for record in caplog.records] == [
        f"telemetry cannot be sent to {receiver.url}/w: it answers 500"
    ]


async def test_a_file_that_holds_no_token_ends_nothing(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no text, and text that no header takes: told without a word of it."""
    world, token = SystemWorld(), tmp_path / "token"
    for content in (b"\xff\xfe", "t\u00f6ken".encode(), b"two\nlines"):
        token.write_bytes(content)
        target = ExportTarget(url=f"{receiver.url}/w", token_file=token)
        chosen = ExportPlan(remote_write=target, interval=3600)
        exporter = TelemetryExporter(chosen, families, None, now=world.now, sleep=world.sleep)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            with trio.fail_after(30):
                while not exporter.failed_exports:  # noqa: ASYNC110  # it tells nobody
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert receiver.got == []
    assert not [word for word in ("ken", "lines") if word in caplog.text]


async def test_what_an_address_holds_of_a_secret_is_not_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a password before the host nor a key in the query is in the log."""
    world, receiver.status = SystemWorld(), 500
    url = receiver.url.replace("http://", "http://me:s3cret@") + "/w?key=s3cret"
    chosen = ExportPlan(remote_write=ExportTarget(url=url), interval=3600)
    exporter = TelemetryExporter(chosen, families, None, now=world.now, sleep=world.sleep)
    with caplog.at_level(logging.WARNING, "freehold.telemetry"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.run)
            await until(receiver, 1)
            with trio.fail_after(30):
                while not exporter.failed_exports:  # noqa: ASYNC110  # it tells nobody
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert [record.message for record in caplog.records] == [
        f"telemetry cannot be sent to {receiver.url}/w: it answers 500"
    ]
