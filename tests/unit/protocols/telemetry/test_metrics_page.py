"""Anybody may ask for metrics as often as they like: what that costs is bounded."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing import FakeWorld
from control.api.health import HealthEndpoints
from protocols.telemetry.metrics_page import MAX_RENDERINGS, MetricsPage
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect


class Counted:
    """Metrics that count how often they are rendered."""

    times = 0

    def render(self) -> bytes:
        """The count."""
        self.times += 1
        return b"%d" % self.times


def page_of_agent(metrics: Any, world: FakeWorld) -> MetricsPage:
    """The one that an agent serves."""
    nothing: Any = None
    return OpsDialect(nothing, world, metrics, NativeDialect(nothing, world)).metrics_page


def page_of_control_plane(metrics: Any, world: FakeWorld) -> MetricsPage:
    """The one that a control plane serves."""
    nothing: Any = None
    return HealthEndpoints(nothing, nothing, metrics, world)._metrics_page


@pytest.mark.parametrize("page_of", [page_of_agent, page_of_control_plane])
def test_metrics_are_not_rendered_for_each_request(
    page_of: Callable[[Any, FakeWorld], MetricsPage],
) -> None:
    """Four times a second, and after a pause the page is fresh."""
    metrics, world = Counted(), FakeWorld()
    page = page_of(metrics, world)
    for second in range(1, 3):
        bodies = [page.get() for _ in range(100)]
        assert metrics.times == second * MAX_RENDERINGS
        assert bodies[-1] == b"%d" % metrics.times
        world.advance(1)
