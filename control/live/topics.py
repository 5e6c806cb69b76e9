"""Every topic: who may follow it, and what it is made of."""

from typing import Final, NamedTuple

from control.live.agent import OneAgent
from control.live.alerts import Alerts
from control.live.changes import Changes
from control.live.curves import Curves
from control.live.fleet import Fleet
from control.live.projection import Make
from control.live.rollouts import Rollouts
from control.model.people import Role


class Kind(NamedTuple):
    """`of`: whether it is about one agent. `role`: the least that takes, as in the REST API."""

    make: Make
    role: Role = Role.VIEWER
    of: bool = False


TOPICS: Final = {
    "fleet": Kind(Fleet),
    "curves": Kind(Curves),
    "agent": Kind(OneAgent, of=True),
    "alerts": Kind(Alerts),
    "rollouts": Kind(Rollouts),
    "changes": Kind(Changes, role=Role.ADMIN),
}
