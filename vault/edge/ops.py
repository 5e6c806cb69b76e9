"""Health and metrics: for load balancers, systemd and Prometheus. No credential, no secret."""

from importlib.metadata import version
from typing import ClassVar, Final

import msgspec

from actors.world import World
from protocols.telemetry.metrics_page import MetricsPage
from vault.edge.dialect import Dialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.edge.service import VaultService
from vault.errors import NotFoundError, VaultError
from vault.metrics import Metrics

MAX_BODY: Final = 1 << 10
LIVE_BODY: Final = msgspec.json.encode({"status": "live", "version": version("freehold")})
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"  # Prometheus exposition format

_router = Router()


class OpsDialect(Dialect):
    """Everything that no other dialect takes."""

    name = "ops"
    prefix = "/"
    router: ClassVar[Router] = _router
    max_body = MAX_BODY
    is_public = True

    def __init__(
        self, service: VaultService, world: World, metrics: Metrics, native: NativeDialect
    ) -> None:
        super().__init__(service, world)
        self.metrics = metrics
        self._native = native
        self.metrics_page = MetricsPage(metrics.render, world.monotonic)

    def error_reply(self, error: VaultError, request_id: str) -> Reply:
        """As the native dialect tells it."""
        return self._native.error_reply(error, request_id)


@_router.add("GET", template="health/live", public=True)
async def live(_ops: OpsDialect, _request: Request) -> Reply:
    """200 while the process answers at all: whoever restarts on this must not ask for more."""
    return Reply(200, LIVE_BODY)


@_router.add("GET", template="health/ready", public=True)
async def ready(ops: OpsDialect, _request: Request) -> Reply:
    """200 when operations are served, 503 when not: uninitialized, sealed, or refusing and why.

    A sealed agent that waits for its key providers says for which, and since when. One that serves
    names those that fail: it would be unsealed by fewer at its next start, or by none.
    """
    status = ops.service.status()
    if status.refusing:
        body = {"status": "refusing", "reason": status.refusing}
        return Reply(503, msgspec.json.encode(body))
    state = "ready" if not status.sealed else "sealed" if status.initialized else "uninitialized"
    told: dict[str, object] = {"status": state}
    if status.waiting:
        told["reason"] = status.waiting
    if failing := [each for each in status.key_providers if each.error]:
        told["key_providers_failing"] = failing
    return Reply(200 if state == "ready" else 503, msgspec.json.encode(told))


@_router.add("GET", template="metrics", public=True)
async def metrics(ops: OpsDialect, _request: Request) -> Reply:
    """Prometheus metrics."""
    if not ops.metrics.enabled:
        raise NotFoundError("route_not_found", "metrics are switched off by the configuration")
    return Reply(200, ops.metrics_page.get(), content_type=METRICS_TYPE)
