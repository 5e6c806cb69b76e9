"""Sends what a process tells, every so often, for as long as it is let.

Nothing waits for it. What cannot be sent is dropped: the next figures have all of the counters, and
spans are a sample anyway. Failures are counted, and logged once until it works again.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio

from protocols.telemetry import otlp, remote_write
from protocols.telemetry.export_plan import ExportPlan, ExportTarget
from protocols.telemetry.metric_families import MetricFamilies
from protocols.telemetry.tracing import Tracing

log: Final = logging.getLogger("freehold.telemetry")
TIMEOUT: Final = 10.0
TRACES_EVERY: Final = 5.0
_OK: Final = range(200, 300)
_NANO: Final = 10**9
_MILLI: Final = 10**6


class TelemetryExporter:
    """Sends by the plan. `now`: Unix nanoseconds; `sleep`: seconds."""

    def __init__(
        self,
        plan: ExportPlan,
        families: Callable[[], MetricFamilies],
        tracing: Tracing | None,
        *,
        now: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._families = families
        self._tracing = tracing
        self._now = now
        self._sleep = sleep
        self._since = now()
        self._silent: set[str] = set()
        self.failed_exports = 0

    async def run(self) -> None:
        """Until cancelled."""
        plan = self._plan
        async with trio.open_nursery() as nursery:
            if plan.remote_write.url:
                nursery.start_soon(self._every, plan.interval, self._write)
            if plan.otlp.url and plan.metrics:
                nursery.start_soon(self._every, plan.interval, self._measure)
            if plan.otlp.url and self._tracing is not None:
                nursery.start_soon(self._every, TRACES_EVERY, self._trace)

    async def flush_spans(self) -> None:
        """What waits, once; for the end."""
        with trio.move_on_after(TIMEOUT):
            if self._plan.otlp.url and self._tracing is not None:
                await self._trace()

    async def _every(self, period: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await self._sleep(period)

    async def _write(self) -> None:
        at = self._now() // _MILLI
        body = remote_write.write_request(self._families(), self._plan.labels, at)
        await self._send(self._plan.remote_write, "", body, remote_write.HEADERS)

    async def _measure(self) -> None:
        body = otlp.metrics_request(
            self._families(), self._plan.resource, since=self._since, now=self._now()
        )
        await self._send(self._plan.otlp, otlp.METRICS_PATH, body, otlp.HEADERS)

    async def _trace(self) -> None:
        while self._tracing is not None and (body := self._tracing.take_batch()):
            await self._send(self._plan.otlp, otlp.TRACES_PATH, body, otlp.HEADERS)

    async def _send(
        self, target: ExportTarget, path: str, body: bytes, headers: dict[str, str]
    ) -> None:
        url = target.url.rstrip("/") + path if path else target.url
        try:
            status = await _post(target, url, body, headers)
            trouble = "" if status in _OK else f"it answers {status}"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            trouble = type(error).__name__  # ValueError: the token's file holds no token
        if not trouble:
            self._silent.discard(url)
            return
        self.failed_exports += 1
        if url not in self._silent:
            self._silent.add(url)
            log.warning("telemetry cannot be sent to %s: %s", _shown(url), trouble)


async def _post(target: ExportTarget, url: str, body: bytes, headers: dict[str, str]) -> int:
    tls = await trio.to_thread.run_sync(_context, target.ca_file)
    sent = dict(headers)
    if target.token_file is not None:
        token = await trio.to_thread.run_sync(target.token_file.read_text)
        sent["Authorization"] = f"Bearer {token.strip()}"
    async with httpx2.AsyncClient(verify=tls, timeout=TIMEOUT, trust_env=False) as http:
        return (await http.post(url, content=body, headers=sent)).status_code


def _shown(url: str) -> str:
    """Without what could be a secret: a password before the host, a key in the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _context(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
