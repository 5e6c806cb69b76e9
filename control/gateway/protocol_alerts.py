"""An agent that breaks the protocol, or knows more of us than we do, is an alert.

At most one of each kind is reported an hour for each agent, with how often it came.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from msgspec.structs import replace

from actors import World
from control.model.records import Severity
from control.services.alerts import Alerts
from protocols.link.errors import Fault
from protocols.pki.names import AgentName

ALERT_INTERVAL: Final = 3600.0  # seconds
REMEMBERED: Final = 20_000
"""Agents and kinds; what was told of longest ago is forgotten first."""


class _LastAlert(NamedTuple):
    at: float
    """On the monotonic clock."""
    since: int
    """Times that were not told yet."""


class ProtocolAlerts:
    """Of one process."""

    def __init__(self, alerts: Alerts, world: World) -> None:
        self._alerts = alerts
        self._world = world
        self._told: OrderedDict[tuple[AgentName, str], _LastAlert] = OrderedDict()

    async def report_fault(self, name: AgentName, fault: Fault) -> None:
        """Its connection has ended by this. Silence is no fault of protocol: presence tells it.

        Raises what the store raises.
        """
        if fault is Fault.TIMEOUT:
            return
        text = f"{name.vault} broke the link's protocol ({fault}) and was cut off"
        await self._fire(name, "link_fault", Severity.WARNING, text)

    async def report_rollback(self, name: AgentName) -> None:
        """It has applied messages that our outbox never gave: our database is an old copy.

        Raises what the store raises.
        """
        text = (
            f"{name.vault} has applied messages that were never given by what is stored here: "
            "a restored backup? What was not told to it since is told anew"
        )
        await self._fire(name, "link_lost", Severity.CRITICAL, text)

    async def _fire(self, name: AgentName, code: str, severity: Severity, text: str) -> None:
        key = name, code
        now, told = self._world.monotonic(), self._told.get(key)
        if told is not None and now - told.at < ALERT_INTERVAL:
            self._told[key] = told._replace(since=told.since + 1)
            return
        before = told.since if told is not None else 0
        self._told[key] = _LastAlert(now, 0)
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        made = self._alerts.new_alert(*name, code, severity, text)
        await self._alerts.fire_alerts(replace(made, count=before + 1))
