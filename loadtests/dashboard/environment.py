"""A whole control plane with its pages and a seeded fleet, in this process.

Agents are not linked: the hub is told of them as the gateway tells it. Only the hub's clock can be
put forward, so that an hour passes in a moment.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from argon2 import PasswordHasher

from actors import SystemWorld
from actors.garbage_collector import freeze_at_startup
from control.api.health import HealthEndpoints
from control.api.rest_app import build_rest_app
from control.app import with_pages
from control.bootstrap import create_dev_authority
from control.config.load import dev_settings
from control.core import Core, live_services, open_control_plane
from control.live.endpoint import LiveEndpoint
from control.live.hub import MAX_POINTS, POINT_INTERVAL, LiveHub
from control.metrics import PrometheusMetrics
from control.model.people import PLATFORM, Organization, Role
from control.model.records import Severity
from control.store import agents, people
from control.store.rows import Tx
from control.store.tables import assignments
from loadtests.dashboard.fleet_model import MINUTE, ReportGenerator, SeededAgent, make_fleet
from protocols.http import Limits, serve
from protocols.http.asgi import Receive, Scope, Send
from protocols.instant import SECOND
from ui.web.files import read_files

ORG: Final = "acme"
PERSON: Final = "ann"
PASSWORD: Final = "correct horse battery"
WARM: Final = 12
"""Steps until every agent has reported twice."""
CHUNK: Final = 500  # agents of one transaction


class AdvancedWorld(SystemWorld):
    """The machine's clock, put forward by `seconds`, which only grows."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def now(self) -> int:
        """See `World`."""
        return super().now() + round(self.seconds * SECOND)

    def monotonic(self) -> float:
        """See `World`."""
        return super().monotonic() + self.seconds


class SilentLink:
    """An agent's connection that says nothing."""

    since = 0
    health = "serving"
    sync = "online"
    acknowledged = 0

    def observe(self, seconds: int) -> None:
        """It has nothing more to say."""


class DashboardEnvironment:
    """`step` lets ten seconds of the fleet's life happen at once; `live` keeps to the clock."""

    def __init__(
        self, core: Core, hub: LiveHub, world: AdvancedWorld, fleet: list[SeededAgent]
    ) -> None:
        self.core = core
        self.hub = hub
        self.port = 0
        self.fleet = fleet
        self.events = 0  # reports that were told
        self._world = world
        self._speak = [(each, ReportGenerator(each)) for each in fleet if each.is_reporting]
        self._second = 0

    def step(self) -> None:
        """Ten seconds: a sixth of the agents report, and the curves have another point."""
        self._world.seconds += POINT_INTERVAL
        for second in range(self._second, self._second + POINT_INTERVAL):
            self.send_reports(second)
        self._second += POINT_INTERVAL
        self.hub.add_points()

    def send_reports(self, second: int) -> None:
        """A sixtieth of the agents report."""
        for each, course in self._speak[second % MINUTE :: MINUTE]:
            self.core.presence.record_message(ORG, each.name)
            self.hub.on_message(ORG, each.name, course.report(second))
            self.events += 1

    async def raise_alert(self, vault: str, code: str, severity: Severity, message: str) -> None:
        """Raise one, as a service of the control plane does."""
        alerts = self.core.agents.alerts
        await alerts.fire_alerts(alerts.new_alert(ORG, vault, code, severity, message))

    async def run_in_real_time(self, seconds: float) -> None:
        """Every agent once a minute, evenly."""
        began, first = trio.current_time(), self._second
        while (passed := trio.current_time() - began) < seconds:
            while self._second < first + passed:
                self.send_reports(self._second)
                self._second += 1
            await trio.sleep(0.1)


@asynccontextmanager
async def running_environment(count: int, hours: float = 1) -> AsyncIterator[DashboardEnvironment]:
    """It runs on `port`, with the curves of the last hour; `hours` are left to be stepped through.

    Raises what a control plane raises that cannot start.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-screen-") as folder:
        world = SystemWorld()
        create_dev_authority(Path(folder), world.now())
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        settings = dev_settings("127.0.0.1:0", Path(folder))
        async with (
            open_control_plane(settings, world, cheap) as core,
            trio.open_nursery() as nursery,
        ):
            fleet = make_fleet(count)
            await _fill(core, fleet)
            ahead = AdvancedWorld(-POINT_INTERVAL * (WARM + MAX_POINTS * (1 + hours)))
            hub = LiveHub(core.store, core.bus, core.presence, ahead)
            made = DashboardEnvironment(core, hub, ahead, fleet)
            for _ in range(WARM + MAX_POINTS):
                made.step()
            freeze_at_startup()  # as a control plane does before it serves
            await nursery.start(hub.run)
            app = build_rest_app(core)
            app.nursery = nursery
            await app.startup()
            for each in fleet:
                hub.on_linked(ORG, each.name, SilentLink())
            made.port = await _listen(nursery, core, hub, app)
            yield made
            await app.shutdown()
            nursery.cancel_scope.cancel()


async def _listen(nursery: trio.Nursery, core: Core, hub: LiveHub, app: Any) -> int:
    pages, live = (
        HealthEndpoints(with_pages(app, read_files()), core.store, PrometheusMetrics(), core.world),
        LiveEndpoint(live_services(core), hub),
    )

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (live if scope["type"] == "websocket" else pages)(scope, receive, send)

    run = partial(
        serve, either, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True
    )
    handle = await nursery.start(run)
    port: int = handle.port
    return port


async def _fill(core: Core, fleet: list[SeededAgent]) -> None:
    """The organization, its agents and somebody who may look."""
    for org in (PLATFORM, ORG):
        row = Organization(org, org, 1)
        await core.store.write(partial(people.add_organization, organization=row))
    await core.people.users.create_user(None, ORG, PERSON, Role.OWNER, PASSWORD)
    now = core.world.now()

    def add(tx: Tx, some: list[SeededAgent]) -> None:
        for each in some:
            agents.add_agent(tx, each.row(now))
        tx.execute(assignments.insert(), [each.standing(now) for each in some])

    for start in range(0, len(fleet), CHUNK):
        await core.store.write(partial(add, some=fleet[start : start + CHUNK]))
    await core.presence.load()
