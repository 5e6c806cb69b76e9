"""An agent that breaks the protocol is an alert: at most one an hour for each, however often."""

from collections import OrderedDict
from typing import Final, NamedTuple

from actors import World
from control.model.records import Severity
from control.services.alerts import Alerts
from protocols.instant import SECOND
from protocols.link.errors import Fault
from protocols.pki.names import AgentName

EVERY: Final = 3600 * SECOND
REMEMBERED: Final = 20_000
"""Agents; the one that was told of longest ago is forgotten first."""


class _Told(NamedTuple):
    at: int
    since: int
    """Faults that were not told yet."""


class Alarms:
    """Of one process."""

    def __init__(self, alerts: Alerts, world: World) -> None:
        self._alerts = alerts
        self._world = world
        self._told: OrderedDict[AgentName, _Told] = OrderedDict()

    async def fault(self, name: AgentName, fault: Fault) -> None:
        """Its connection has ended by this. Silence is no fault of protocol: presence tells it.

        Raises what the store raises.
        """
        if fault is Fault.TIMEOUT:
            return
        now, told = self._world.now(), self._told.get(name)
        if told is not None and now - told.at < EVERY:
            self._told[name] = told._replace(since=told.since + 1)
            return
        before = told.since if told is not None else 0
        self._told[name] = _Told(now, 0)
        self._told.move_to_end(name)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        more = f"; {before} more times since the last alert" if before else ""
        text = f"{name.vault} broke the link's protocol ({fault}) and was cut off{more}"
        made = self._alerts.make(*name, "link_fault", Severity.WARNING, text)
        await self._alerts.raise_(made)
